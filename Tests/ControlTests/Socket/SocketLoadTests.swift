import Control
import ControlTesting
import Foundation
import Frames
import Logging
import Testing

/// Many sessions at once.
///
/// Figures are printed; what is asserted leaves room for a busy machine.
@Suite(.serialized) struct SocketLoadTests {
    @Test(.timeLimit(.minutes(10))) func twoHundredSessionsLoseAndMixNothing() async throws {
        let sandbox = try SocketSandbox()
        let sessions = 200
        let commands = 1000
        try await sandbox.serving { server in
            let start = ContinuousClock.now
            let right = try await withThrowingTaskGroup(of: Int.self) { group in
                for session in 0..<sessions {
                    group.addTask {
                        let channel = try await sandbox.channel()
                        let client = RecordingClient()
                        var right = 0
                        for command in 0..<commands {
                            let marks: [FrameValue] = [.integer(Int64(session)), .integer(Int64(command))]
                            let answer = try await channel.perform(.call(Call("echo", marks)), for: client)
                            if answer.value["arguments"] == .array(marks) { right += 1 }
                        }
                        await channel.close()
                        return right
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(right == sessions * commands)
            print("sessions \(sessions), commands \(right), \(ContinuousClock.now - start)")
            #expect(await eventually { server.sessionCount == 0 })
        }
    }

    @Test(.timeLimit(.minutes(5))) func othersAreAnsweredWhileSomeFlood() async throws {
        let sandbox = try SocketSandbox()
        let probe = try ProbeProcess("serve", sandbox.path)
        try await probe.waitUntilListening()
        let call = ClientMessage.request(
            id: 1, .call(Call("echo", [.array(Array(repeating: 7, count: 1000))])), descriptors: 0)
        let many = Array([[UInt8]](repeating: try FrameEncoder().frame(call.frame), count: 200).joined())
        let floods = try (0..<2).map { _ in try RawClient(to: sandbox.path) }
        for flood in floods { try await flood.greet() }
        let flooding = floods.map { flood in
            Task {
                while !Task.isCancelled, await flood.send(many) { _ = try? await flood.messages(atMost: 200) }
            }
        }
        let channel = try await sandbox.channel()
        var times: [Duration] = []
        for _ in 0..<300 {
            let start = ContinuousClock.now
            _ = try await channel.perform(.ping, for: RecordingClient())
            times.append(.now - start)
            try await Task.sleep(for: .milliseconds(5))
        }
        times.sort()
        print("ping while two sessions flood: median \(times[150]), 99 in 100 \(times[297]), worst \(times[299])")
        #expect(times[150] < .milliseconds(250))
        flooding.forEach { $0.cancel() }
        probe.kill(SIGKILL)
        for task in flooding { await task.value }
        await channel.close()
    }

    @Test(.timeLimit(.minutes(5))) func idleSessionsCostLittle() async throws {
        let sandbox = try SocketSandbox()
        let probe = try ProbeProcess("serve", sandbox.path)
        try await probe.waitUntilListening()
        let before = try probe.peakKibibytes()
        var clients: [RawClient] = []
        for _ in 0..<300 {
            let client = try RawClient(to: sandbox.path)
            try await client.greet()
            clients.append(client)
        }
        let memory = try probe.peakKibibytes() - before
        let ticks = try probe.processorTicks()
        try await Task.sleep(for: .seconds(3))
        let idleTicks = try probe.processorTicks() - ticks
        print("300 idle sessions: \(memory) KiB more, \(idleTicks) ticks of 10 ms in 3 s")
        #expect(memory < 32_768)
        #expect(idleTicks <= 5)
        withExtendedLifetime(clients) {}
    }

    @Test func aKilledDaemonIsNoticedAndReplacedAndNothingIsRepeated() async throws {
        let sandbox = try SocketSandbox()
        let first = try ProbeProcess("serve", sandbox.path)
        try await first.waitUntilListening()
        let idle = try await sandbox.channel()
        let busy = try await sandbox.channel()
        let waiting = Task { try await busy.perform(.call(Call("wait")), for: RecordingClient()) }
        try await Task.sleep(for: .milliseconds(300))
        first.kill(SIGKILL)
        let error = await #expect(throws: ControlError.self) { try await waiting.value }
        #expect(error?.codeName == "storeDaemonUnreachable")
        #expect(error?.message.contains("while it worked on \"wait\"") == true)
        #expect(error?.status == 2)
        // Its socket is left behind, and taken over by the next one.
        #expect(FileManager.default.fileExists(atPath: sandbox.path))
        let second = try ProbeProcess("serve", sandbox.path)
        try await second.waitUntilListening()
        await #expect(throws: ControlError.self) { try await idle.perform(.ping, for: RecordingClient()) }
        let channel = try await sandbox.channel()
        #expect(try await channel.perform(.ping, for: RecordingClient()) == Answer(.null))
        await channel.close()
    }

    @Test func aStopAnswersWhatIsInHand() async throws {
        let sandbox = try SocketSandbox()
        let probe = try ProbeProcess("serve", sandbox.path)
        try await probe.waitUntilListening()
        let working = try await sandbox.channel()
        let watching = try await sandbox.channel()
        let idle = try await sandbox.channel()
        let slept = Task { try await working.perform(.call(Call("sleep", [1500])), for: RecordingClient()) }
        let watched = Task { try await watching.perform(.call(Call("wait")), for: RecordingClient()) }
        try await Task.sleep(for: .milliseconds(300))
        probe.kill(SIGTERM)
        #expect(try await slept.value == Answer(.null))
        for channel in [watching, idle] {
            let error = await #expect(throws: ControlError.self) {
                _ =
                    channel === watching
                    ? try await watched.value : try await idle.perform(.ping, for: RecordingClient())
            }
            #expect(error?.codeName == "storeDaemonUnreachable")
        }
        #expect(await probe.waitForEnd() == 0)
        #expect(!FileManager.default.fileExists(atPath: sandbox.path))
    }

    @Test(.enabled(if: geteuid() == 0, "only root can become another user"))
    func anotherUserIsRefusedByModeAndThenByRole() async throws {
        let sandbox = try SocketSandbox()
        let probe = try ProbeProcess("serve", sandbox.path)
        try await probe.waitUntilListening()
        #expect(try await ProbeProcess.nobody("ping", sandbox.path).hasPrefix("callerNotAllowed 2: cannot reach"))
        chmod(sandbox.path, 0o666)
        #expect(
            try await ProbeProcess.nobody("ping", sandbox.path).hasPrefix("callerNotAllowed 2: no role lets nobody in"))
        #expect(try await ProbeProcess.output("ping", sandbox.path).hasPrefix("ok integer(0) string(\"root\")"))
    }

    @Test(.enabled(if: geteuid() == 0, "only root can become another user"))
    func whatAnotherUserPutThereIsNotTalkedTo() async throws {
        let sandbox = try SocketSandbox()
        chmod(sandbox.folder, 0o777)
        // The socket's directory is root's, the daemon is not.
        let squatter = try await ProbeProcess.squatting(at: sandbox)
        #expect(await eventually { (try? sandbox.connector().look()) == .somebody })
        let error = await #expect(throws: ControlError.self) { try await sandbox.channel() }
        #expect(error?.message.contains("of uid 65534, not the instance's daemon") == true)
        squatter.terminate()
    }

    @Test(
        .enabled(
            if: FileManager.default.isExecutableFile(atPath: "/usr/bin/systemd-socket-activate"),
            "systemd-socket-activate is not installed"))
    func takesTheSocketThatAManagerHandsOver() async throws {
        let sandbox = try SocketSandbox()
        let manager = Process()
        manager.executableURL = URL(filePath: "/usr/bin/systemd-socket-activate")
        manager.arguments = ["-l", sandbox.path, try ProbeProcess.path(), "activated", "/elsewhere/k.sock"]
        manager.standardError = FileHandle.nullDevice
        try manager.run()
        defer { manager.terminate() }
        #expect(await eventually { FileManager.default.fileExists(atPath: sandbox.path) })
        let channel = try await sandbox.channel()
        #expect(try await channel.perform(.ping, for: RecordingClient()) == Answer(.null))
        await channel.close()
    }
}

/// The probe in a process of its own.
final class ProbeProcess: Sendable {
    private let process: Process

    init(_ words: String...) throws {
        process = Process()
        process.executableURL = URL(filePath: try Self.path())
        process.arguments = words
        process.standardError = FileHandle.nullDevice
        try process.run()
    }

    deinit { if process.isRunning { Glibc.kill(process.processIdentifier, SIGKILL) } }

    func kill(_ signal: Int32) { Glibc.kill(process.processIdentifier, signal) }

    func waitForEnd() async -> Int32 {
        _ = await eventually { !self.process.isRunning }
        return process.isRunning ? -1 : process.terminationStatus
    }

    func waitUntilListening() async throws {
        let connector = SocketConnector(path: try SocketPath(process.arguments?.last ?? ""))
        guard await eventually({ (try? connector.look()) == .somebody }) else { throw CocoaError(.fileReadUnknown) }
    }

    func peakKibibytes() throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return line.flatMap { Int($0.split(separator: " ").dropLast().last ?? "") } ?? 0
    }

    func processorTicks() throws -> Int {
        let stat = try String(contentsOfFile: "/proc/\(process.processIdentifier)/stat", encoding: .utf8)
        let fields = stat.split(separator: ")").last?.split(separator: " ") ?? []
        return (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0)
    }

    static func path() throws -> String {
        let named = CommandLine.arguments.filter { $0.hasPrefix("/") }
        for start in named + [Bundle.main.bundlePath] {
            var folder = URL(filePath: start).deletingLastPathComponent()
            while folder.path != "/" {
                let file = folder.appending(path: "control-probe").path
                if FileManager.default.isExecutableFile(atPath: file) { return file }
                folder.deleteLastPathComponent()
            }
        }
        throw CocoaError(.fileNoSuchFile)
    }

    static func output(_ words: String...) async throws -> String { try await run(try path(), words) }

    /// What the probe prints as the user nobody, who must be able to read it.
    static func nobody(_ words: String...) async throws -> String {
        try await asNobody { try await run("/usr/bin/setpriv", $0 + words) }
    }

    /// A socket of the user nobody.
    static func squatting(at sandbox: SocketSandbox) async throws -> Process {
        let copy = sandbox.folder + "/probe"
        _ = try await run("/bin/cp", [try path(), copy])
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/setpriv")
        process.arguments = ["--reuid=65534", "--regid=65534", "--clear-groups", copy, "squat", sandbox.path]
        try process.run()
        return process
    }

    private static func asNobody(_ body: ([String]) async throws -> String) async throws -> String {
        let sandbox = try SocketSandbox()
        let copy = sandbox.folder + "/probe"
        // Another process writes the copy, so that none of ours holds it open when it is started.
        _ = try await run("/bin/cp", [try path(), copy])
        return try await body(["--reuid=65534", "--regid=65534", "--clear-groups", copy])
    }

    private static func run(_ program: String, _ words: [String]) async throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = words
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        guard await eventually({ !process.isRunning }) else { throw CocoaError(.executableLoad) }
        return String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    }
}
