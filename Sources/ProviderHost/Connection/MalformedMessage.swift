internal import GRPCCore
internal import PluginWire

/// Bytes that are sent where a message is expected, for a trial of what a plugin does with them.
struct MalformedMessage {
    /// What it is, for people.
    let name: String
    private let bytes: [UInt8]

    static let all = [
        MalformedMessage(name: "a number without an end", bytes: [UInt8](repeating: 0xFF, count: 64)),
        MalformedMessage(name: "a message that is cut off", bytes: [0x0A, 0x7F, 0x0A]),
        MalformedMessage(name: "fields of other types", bytes: [0x08, 0x07, 0x11] + [UInt8](repeating: 1, count: 8)),
        MalformedMessage(
            name: "a binding 50,000 times over", bytes: (0..<50_000).flatMap { _ in [0x12, 0x00] as [UInt8] }),
        MalformedMessage(name: "nothing", bytes: []),
    ]

    /// Sends it in the place of each message that is about a key.
    ///
    /// - Returns: Whether one of them is answered as a proper one would be.
    /// - Throws: `RPCError` where the plugin cannot be reached any more.
    func isAnswered(over connection: ProviderConnection, within deadline: Duration) async throws -> Bool {
        defer { connection.finish() }
        typealias Method = Keyturn_Provider_V1_KeyProvider.Method
        for method in [Method.Wrap.descriptor, Method.Unwrap.descriptor] {
            do {
                _ = try await connection.client.unary(
                    request: ClientRequest(message: bytes), descriptor: method, serializer: PlainBytes(),
                    deserializer: PlainBytes(), options: ProviderConnection.options(within: deadline)
                ) { try $0.message }
                return true
            } catch let status as RPCError where ![.unavailable, .deadlineExceeded].contains(status.code) {
                continue
            }
        }
        return false
    }
}

/// Bytes as they are.
private struct PlainBytes: MessageSerializer, MessageDeserializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }

    func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> [UInt8] {
        bytes.withUnsafeBytes { [UInt8]($0) }
    }
}
