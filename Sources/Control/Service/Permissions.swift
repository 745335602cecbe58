internal import ControlStore
internal import Foundation

/// Who may do what, as the configuration declares it.
struct Permissions: Sendable {
    private let roles: [RoleDeclaration]
    private let owner: UInt32?

    /// Reads the declarations; the owner of the directory counts where there is none.
    init(_ configuration: Configuration, directory: InstanceDirectory) {
        roles = configuration.roles
        var facts = stat()
        owner = stat(directory.path, &facts) == 0 ? facts.st_uid : nil
    }

    /// The highest role that a peer has; nil for none.
    func role(of peer: Peer) -> Role? {
        guard !roles.isEmpty else { return peer.uid == 0 || peer.uid == owner ? .serverAdmin : nil }
        return roles.filter { $0.users.contains(peer.user) || !peer.groups.isDisjoint(with: $0.groups) }
            .compactMap { Role(rawValue: $0.role) }.max()
    }
}
