internal import Control

/// A session at the instance that a command line names, with what this process hosts for it.
struct InstanceConnection: ControlChannel {
    private let opened: CommandChannel

    /// Opens a session.
    ///
    /// - Throws: What ``CommandChannel`` throws.
    static func open(_ global: GlobalOptions, way: Peer.Way) async throws -> any ControlChannel {
        InstanceConnection(opened: try await CommandChannel.open(global, way: way))
    }

    func perform(_ request: ControlRequest, for client: any ControlClient) async throws -> Answer {
        try await opened.channel.perform(request, for: client)
    }

    func cancel() async { await opened.interrupt() }
    func killScript() async { await opened.channel.killScript() }
    func close() async { await opened.close() }
}
