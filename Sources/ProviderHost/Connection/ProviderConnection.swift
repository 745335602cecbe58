internal import Foundation
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import NIOCore
internal import NIOPosix
internal import PluginKit
internal import PluginWire
internal import Synchronization

/// One connection to a provider's socket; it does not connect again, its owner makes another.
final class ProviderConnection: Sendable {
    /// The most bytes of one message in either direction.
    static let maximumMessage = 256 * 1024

    /// What is called through it.
    let client: GRPCClient<HTTP2ClientTransport.WrappedChannel>

    /// What the other side said that it can do.
    let capabilities: Set<String>

    private let running: Task<Void, Never>
    private let state: State

    private final class State: Sendable {
        let isClosed = Mutex(false)
        let callsInHand = Mutex(0)
        let session = Mutex<ProviderSession?>(nil)
    }

    private init(_ client: GRPCClient<HTTP2ClientTransport.WrappedChannel>, _ capabilities: Set<String>) {
        let state = State()
        self.capabilities = capabilities
        self.client = client
        self.state = state
        // Ends with the connection, which `close` ends.
        running = Task.detached {
            try? await client.runConnections()
            state.isClosed.withLock { $0 = true }
        }
    }

    deinit { running.cancel() }

    /// Whether it has ended.
    var isClosed: Bool { state.isClosed.withLock { $0 } }

    /// How many calls go through it.
    var callsInHand: Int { state.callsInHand.withLock { $0 } }

    /// A call goes through it from now on, until ``finish()``.
    func begin() { state.callsInHand.withLock { $0 += 1 } }

    /// A call has come to its end.
    func finish() { state.callsInHand.withLock { $0 -= 1 } }

    /// The session for new calls; nil where the other side offers none.
    var session: ProviderSession? {
        guard capabilities.contains(Handshake.session) else { return nil }
        return state.session.withLock { session in
            if let session, session.isOpen { return session }
            let next = ProviderSession.open(over: client)
            session = next
            return next
        }
    }

    /// Ends this side of the session; what is in hand may still be answered.
    func finishSession() { state.session.withLock { $0 }?.finish() }

    /// Connects to a socket whose listener has been made sure of.
    static func open(
        _ socket: ProviderSocket, to capabilities: Set<String> = []
    ) async throws(ProviderError) -> ProviderConnection {
        let descriptor = try socket.connect()
        let transport: HTTP2ClientTransport.WrappedChannel
        do {
            transport = try await .wrapping(
                config: .defaults {
                    $0.http2.authority = "localhost"
                    // Waiting for more to send with a call costs time, and there is seldom more.
                    $0.connection.flushCoalescing = nil
                }
            ) { configure in
                try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                    .withConnectedSocket(descriptor, channelInitializer: configure)
            }
        } catch {
            throw ProviderError(
                .providerUnavailable, "cannot speak with \(socket.path): \(WireText.escaped("\(error)"))")
        }
        return ProviderConnection(GRPCClient(transport: transport), capabilities)
    }

    /// Ends it; calls in hand fail.
    func close() {
        client.beginGracefulShutdown()
        running.cancel()
    }

    /// What every call is limited to; a deadline of nil for one that has none.
    static func options(within deadline: Duration?) -> CallOptions {
        var options = CallOptions.defaults
        options.timeout = deadline
        options.maxRequestMessageBytes = maximumMessage
        options.maxResponseMessageBytes = maximumMessage
        return options
    }
}
