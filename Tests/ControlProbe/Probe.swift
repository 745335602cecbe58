internal import Control
internal import ControlTesting
internal import Foundation
internal import Frames
internal import Logging

/// A daemon, or a client of one, in a process of its own: it can be killed, measured, and run as another user.
///
/// `control-probe serve PATH` listens until SIGTERM, `activated` on what a manager hands over; `control-probe ping PATH` opens a session and prints what came of it.
@main
enum Probe {
    static func main() async {
        let words = CommandLine.arguments
        guard words.count == 3 else { exit(64) }
        do {
            switch words[1] {
            case "serve": try await serve(words[2], [:])
            case "activated": try await serve(words[2], ProcessInfo.processInfo.environment)
            case "squat": try squat(words[2])
            case "ping": try await ping(words[2])
            default: exit(64)
            }
        } catch let error as ControlError {
            print("\(error.codeName) \(error.status): \(error.message)")
            exit(error.status)
        } catch {
            print("\(error)")
            exit(1)
        }
    }

    private static func serve(_ path: String, _ environment: [String: String]) async throws {
        let logger = Logger(label: "probe") { StreamLogHandler.standardError(label: $0) }
        let server = try SocketServer(
            at: try SocketPath(path), environment: environment, service: TestService(refusing: [65_534]),
            logger: logger)
        signal(SIGTERM, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: SIGTERM)
        source.setEventHandler { server.stop() }
        source.resume()
        await server.run()
    }

    /// Listens as anybody can, and says nothing.
    private static func squat(_ path: String) throws {
        let socket = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard code == 0, listen(socket, 1) == 0 else { throw POSIXError(.EADDRINUSE) }
        print("squats")
        sleep(60)
    }

    private static func ping(_ path: String) async throws {
        let hello = SessionHello(way: .call, isInteractive: false)
        let channel = try await SocketChannel.connect(to: try SocketPath(path), hello: hello)
        let answer = try await channel.perform(.call(Call("peer")), for: RecordingClient())
        print("ok \(answer.value["uid"] ?? .null) \(answer.value["user"] ?? .null)")
        await channel.close()
    }
}
