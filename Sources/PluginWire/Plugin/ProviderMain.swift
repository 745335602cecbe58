internal import CProcess
internal import Foundation
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import PluginKit
internal import Synchronization

/// The main function of a key provider's program.
///
/// ```swift
/// @main
/// struct Main {
///     static func main() async { await ProviderMain.run(MyPlugin()) }
/// }
/// ```
public enum ProviderMain {
    /// The time that calls in hand have once the program is asked to end.
    private static let grace = Duration.seconds(2)

    /// The most bytes of one request.
    private static let maximumRequest = 256 * 1024

    /// Serves the plugin until the host lets go of standard input, asks for it, or sends SIGTERM; then ends the process.
    ///
    /// It binds the socket that the host names, says so on standard output, and answers calls. Started by hand it says
    /// what it is and how to try it.
    public static func run(_ plugin: some ProviderPlugin) async -> Never {
        guard let socket = ProcessInfo.processInfo.environment[Handshake.socketVariable] else {
            let name = plugin.description.kind
            let text = """
                This is the key provider "\(name)" for Keyturn, which starts it itself.
                Try it with "keyturn plugin test \(CommandLine.arguments.first ?? "PATH")".

                """
            FileHandle.standardError.write(Data(text.utf8))
            exit(64)
        }
        do {
            try await serve(plugin, at: socket)
            exit(0)
        } catch {
            PluginLog.error("cannot serve: \(error)")
            exit(1)
        }
    }

    private static func serve(_ plugin: some ProviderPlugin, at socket: String) async throws {
        // What is unwrapped here is in no core file, and no process of the same user looks into this one.
        _ = kt_process_forbid_dumps()
        umask(0o077)
        let ending = Ending()
        ending.watch()
        let transport = HTTP2ServerTransport.Posix(
            address: .unixDomainSocket(path: socket), transportSecurity: .plaintext,
            config: .defaults {
                $0.rpc.maxRequestPayloadSize = maximumRequest
                // Waiting for more to send with an answer costs time, and there is seldom more.
                $0.connection.flushCoalescing = nil
            })
        let server = GRPCServer(
            transport: transport, services: [ProviderService(plugin) { ending.begin() }])
        ending.stops { server.beginGracefulShutdown() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.serve() }
            _ = try await transport.listeningAddress
            try greet(plugin.description)
            try await group.waitForAll()
        }
    }

    private static func greet(_ description: PluginDescription) throws {
        let capabilities = Handshake.required.union(description.abilities.map(\.rawValue) + [Handshake.session])
        let handshake = Handshake(
            protocols: Handshake.spoken.sorted(), capabilities: capabilities.sorted(), kind: description.kind,
            version: description.version)
        try FileHandle.standardOutput.write(contentsOf: try handshake.line())
    }

    /// Ends the server once, whoever asks first, and the process if the server does not end in time.
    private final class Ending: Sendable {
        private let state = Mutex(State())
        // Safety: the sources are set up once, before anything else runs, and never touched again.
        private nonisolated(unsafe) var signals: [any DispatchSourceSignal] = []

        private struct State {
            var stop: (@Sendable () -> Void)?
            var hasBegun = false
        }

        /// Begins when SIGTERM arrives or standard input ends.
        func watch() {
            signals = [SIGTERM, SIGINT].map { number in
                signal(number, SIG_IGN)
                let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
                source.setEventHandler { self.begin() }
                source.resume()
                return source
            }
            signal(SIGPIPE, SIG_IGN)
            Thread.detachNewThread {
                var byte: UInt8 = 0
                while true {
                    let count = read(STDIN_FILENO, &byte, 1)
                    if count == 0 || (count < 0 && errno != EINTR) { break }
                }
                self.begin()
            }
        }

        /// Says how the server is stopped.
        func stops(_ stop: @escaping @Sendable () -> Void) {
            let isLate = state.withLock { state in
                state.stop = stop
                return state.hasBegun
            }
            if isLate { stop() }
        }

        func begin() {
            let (isFirst, stop) = state.withLock { state in
                defer { state.hasBegun = true }
                return (!state.hasBegun, state.stop)
            }
            guard isFirst else { return }
            stop?()
            Thread.detachNewThread {
                Thread.sleep(forTimeInterval: Double(ProviderMain.grace.components.seconds))
                _exit(0)
            }
        }
    }
}
