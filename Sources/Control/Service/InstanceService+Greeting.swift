internal import Frames

extension InstanceService {
    /// What a prompt says of a caller: `{role}`; nothing while the instance cannot be opened, which the first call explains.
    func greeting(for peer: Peer) async -> FrameValue {
        guard let instance = try? await instance(), let role = role(of: peer, in: instance.configuration) else {
            return .null
        }
        return ["role": .string(role.rawValue)]
    }
}
