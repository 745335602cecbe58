internal import Control

/// A session at the instance that a command line names, with what this process hosts for it.
struct InstanceConnection: ControlChannel {
    private let opened: CommandChannel
    private let way: Peer.Way

    /// Opens a session.
    ///
    /// - Throws: What ``CommandChannel`` throws.
    static func open(_ global: GlobalOptions, way: Peer.Way) async throws -> any ControlChannel {
        InstanceConnection(opened: try await CommandChannel.open(global, way: way), way: way)
    }

    func perform(_ request: ControlRequest, for client: any ControlClient) async throws -> Answer {
        try await opened.channel.perform(request, for: client)
    }

    /// Asks the request to end.
    ///
    /// A run goes on as long as a console does; a script that is stopped stops its run as well.
    func cancel() async {
        if way == .console { await opened.channel.cancel() } else { await opened.interrupt() }
    }

    func killScript() async { await opened.channel.killScript() }
    func close() async { await opened.close() }
}
