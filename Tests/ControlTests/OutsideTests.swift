import Control
import ControlStore
import Foundation
import Frames
import KeyModel
import Synchronization
import Testing
import Webhooks

struct OutsideTests {
    private func service(_ argv: [String], timeout: Duration = .seconds(30)) async throws -> (
        ControlBench, InstanceService
    ) {
        let bench = try await ControlBench()
        let command = CommandDeclaration(name: try Name("tool"), argv: argv, timeout: timeout)
        bench.configure { $0.commands = [command] }
        return (bench, try bench.service())
    }

    @Test func argumentsAreDataAndTheEnvironmentIsClean() async throws {
        setenv("KEYTURN_TEST_SECRET", "planted", 1)
        let script =
            "env | cut -d= -f1 | sort | tr '\\n' ' '; for a in \"$@\"; do printf '[%s]' \"$a\"; done; echo oops >&2; exit 3"
        let (bench, service) = try await service(["/bin/sh", "-c", script, "sh"])
        let answer = try await service.session().call("commands.run", "tool", "$HOME; rm -rf /", "`id`", 7)
        #expect(answer.value["status"] == 3 && !answer.isGood)
        let output = try #require(answer.value["output"]?.text)
        #expect(output.hasSuffix("[$HOME; rm -rf /][`id`][7]"), "\(output)")
        #expect(!output.contains("KEYTURN_TEST_SECRET"), "\(output)")
        #expect(answer.value["errors"] == "oops\n")
        #expect(try await bench.audit().last?.detail == "exit status 3")
        await service.stop()
    }

    @Test func aCommandThatHangsIsKilledWithItsChildren() async throws {
        let mark = "keyturn-\(UUID().uuidString)"
        let (_, service) = try await service(
            ["/bin/sh", "-c", "trap '' TERM; sleep 600 & sleep 600", mark], timeout: .milliseconds(300))
        let error = await controlError { try await service.session().call("commands.run", "tool") }
        #expect(error?.codeName == "callerLimitExceeded" && error?.status == 4, "\(String(describing: error))")
        #expect(try await eventually { !Self.isRunning(mark) })
        await service.stop()
    }

    @Test func aCommandIsInterrupted() async throws {
        let (bench, service) = try await service(["/bin/sleep", "600"])
        let session = try await service.session()
        let running = Task { await controlError { try await session.call("commands.run", "tool") } }
        try await Task.sleep(for: .milliseconds(200))
        await session.cancel()
        #expect(await running.value?.codeName == "callerInterrupted")
        #expect(try await bench.audit().last?.result == .unknown, "what it had done by then is not known")
        await service.stop()
    }

    @Test func outputIsBounded() async throws {
        let (_, service) = try await service([
            "/bin/sh", "-c", "head -c 10000000 /dev/zero | tr '\\0' x; printf 'a\\377b' >&2",
        ])
        let answer = try await service.session().call("commands.run", "tool")
        #expect(answer.value["output"]?.text?.utf8.count == 65_536 && answer.value["isCut"] == true)
        #expect(answer.value["errors"] == "a\u{FFFD}b")
        await service.stop()
    }

    @Test func onlyWhatTheConfigurationNamesIsRun() async throws {
        let (bench, service) = try await service(["/nowhere/at/all"])
        let session = try await service.session()
        let unknown = await controlError { try await session.call("commands.run", "tol") }
        #expect(unknown?.codeName == "callerNotFound" && unknown?.hint == "Did you mean \"tool\"?")
        let missing = await controlError { try await session.call("commands.run", "tool") }
        #expect(missing?.codeName == "providerUnavailable" && missing?.message.contains("No such file") == true)
        #expect(try await bench.audit().last?.result == .failed, "it was begun, so it was not refused")
        #expect(await controlError { try await session.call("notify.webhook", "ops") }?.codeName == "callerNotFound")
        #expect(await controlError { try await session.call("commands.run", "tool", ["a"]) }?.codeName == "callerUsage")
        await service.stop()
    }

    private static func isRunning(_ mark: String) -> Bool {
        let folders = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return folders.contains { folder in
            guard Int(folder) != nil, let line = FileManager.default.contents(atPath: "/proc/\(folder)/cmdline") else {
                return false
            }
            return String(decoding: line, as: UTF8.self).contains(mark)
        }
    }
}

struct WebhookTests {
    private func webhook(_ url: String, timeout: Duration = .seconds(20)) throws -> WebhookDeclaration {
        WebhookDeclaration(name: try Name("ops"), url: url, timeout: timeout)
    }

    @Test func itPostsJSONAndHandsTheStatusBack() async throws {
        let server = try OneAnswerServer("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        let status = try await Webhooks().post(
            Array(#"{"text":"hello"}"#.utf8), to: try webhook(server.url + "/hook/s3cret"))
        #expect(status == 204)
        let request = server.request()
        #expect(
            request.hasPrefix("POST /hook/s3cret HTTP/1.1\r\n") && request.hasSuffix(#"{"text":"hello"}"#), "\(request)"
        )
        #expect(request.contains("application/json"))
    }

    @Test func aRedirectIsNotFollowed() async throws {
        let target = try OneAnswerServer("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        let server = try OneAnswerServer(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: \(target.url)/\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        #expect(try await Webhooks().post([0x7B, 0x7D], to: try webhook(server.url)) == 307)
        #expect(target.wasAsked == false)
    }

    @Test func whatFailsIsToldWithoutTheAddress() async throws {
        let refused = await controlError {
            _ = try await Webhooks().post([], to: try webhook("http://127.0.0.1:1/s3cret"))
        }
        #expect(refused?.codeName == "providerUnavailable" && refused?.status == 2)
        #expect(refused.map { !"\($0)".contains("s3cret") } == true)
        let silent = try OneAnswerServer(nil)
        let late = await controlError {
            _ = try await Webhooks().post([], to: try webhook(silent.url + "/s3cret", timeout: .milliseconds(500)))
        }
        #expect(
            late?.codeName == "callerLimitExceeded" && late.map { !"\($0)".contains("s3cret") } == true,
            "\(String(describing: late))")
    }
}

/// Takes one connection on this machine, reads a request and answers it; silent where it has no answer.
private final class OneAnswerServer: Sendable {
    private let listener: Int32
    private let port: UInt16
    private let seen = Mutex<[UInt8]>([])
    private let done = DispatchSemaphore(value: 0)

    init(_ answer: String?) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.listener = listener
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(listener, generic, size) == 0 && listen(listener, 4) == 0
                    && getsockname(listener, generic, &size) == 0
            }
        }
        guard isBound else { throw ControlError(.callerUsage, "no port is free") }
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread { [self] in serve(answer) }
    }

    deinit { close(listener) }

    var url: String { "http://127.0.0.1:\(port)" }
    var wasAsked: Bool { seen.withLock { !$0.isEmpty } }

    func request() -> String {
        _ = done.wait(timeout: .now() + 30)
        return seen.withLock { String(decoding: $0, as: UTF8.self) }
    }

    private func serve(_ answer: String?) {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else { return }
        defer { close(connection) }
        var chunk = [UInt8](repeating: 0, count: 4096)
        while !isWhole(seen.withLock { $0 }) {
            let got = read(connection, &chunk, chunk.count)
            guard got > 0 else { break }
            seen.withLock { $0 += chunk[..<got] }
        }
        done.signal()
        guard let answer else {
            sleep(5)
            return
        }
        _ = Array(answer.utf8).withUnsafeBytes { write(connection, $0.baseAddress, $0.count) }
    }

    private func isWhole(_ bytes: [UInt8]) -> Bool {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.range(of: "\r\n\r\n") else { return false }
        let length =
            text.split(separator: "\r\n").first { $0.lowercased().hasPrefix("content-length:") }
            .flatMap { Int($0.split(separator: " ").last ?? "") } ?? 0
        return text[end.upperBound...].utf8.count >= length
    }
}
