internal import Foundation
internal import PluginKit
internal import ProviderHost
internal import Testing
internal import ToolTesting

/// Many calls, and sudden ends.
@Suite(.serialized)
struct EnduranceTests {
    /// 10,000 with `make endurance`; a plugin that leaks with each wrap shows it with fewer.
    private static let wraps = ProcessInfo.processInfo.environment["KEYTURN_ENDURANCE"].flatMap { Int($0) } ?? 2000

    @Test
    func manyWrapsLeaveNothingBehind() async throws {
        let scratch = try HostScratch()
        let supervisor = PluginSupervisor(
            PluginLaunch(name: try Sample.name, file: try scratch.example(), sha256: nil))
        let inner = PluginProvider(
            name: try Sample.name, settings: ["directory": try scratch.directory("keys")], supervisor: supervisor)
        let provider = GuardedProvider(inner, name: try Sample.name, deadline: .seconds(60))
        try await wrap(500, with: provider)
        let plugin = try #require(await supervisor.pid)
        let before = (try Usage(of: getpid()), try Usage(of: plugin))
        try await wrap(Self.wraps, with: provider)
        #expect(await supervisor.pid == plugin)
        let after = (try Usage(of: getpid()), try Usage(of: plugin))
        #expect(after.1.descriptors <= before.1.descriptors + 4)
        #expect(after.1.kilobytes <= before.1.kilobytes + 16_384)
        // Other tests may run in this process meanwhile.
        #expect(after.0.descriptors <= before.0.descriptors + 200)
        #expect(after.0.kilobytes <= before.0.kilobytes + 65_536)
        print("\(Self.wraps) wraps: host \(before.0) to \(after.0), plugin \(before.1) to \(after.1)")
        await supervisor.stop()
    }

    @Test(arguments: ["ignores-end", "ignores-sigterm", "floods-stderr", "grandchild", "runaway"])
    func noPluginOutlivesAHostThatIsKilled(way: String) async throws {
        let scratch = try HostScratch()
        let process = Process()
        process.executableURL = URL(filePath: try BuiltProgram.keyturn())
        process.arguments = [
            "plugin", "test", try scratch.program("hostile-plugin").path, "--environment", "HOSTILE", "--environment",
            "PATH", "--deadline", "60s",
        ]
        process.environment = HostScratch.environment.merging(["HOSTILE": way]) { $1 }
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        // Two guards, the plugin, and what it has started; the trial starts one after the other.
        let wanted = ["grandchild", "runaway"].contains(way) ? 4 : 3
        var children: [pid_t] = []
        _ = await Sample.eventually(within: .seconds(60)) {
            children = Processes.descendants(of: process.processIdentifier)
            return children.count >= wanted
        }
        #expect(children.count >= wanted)
        try await Task.sleep(for: .milliseconds(1500))
        children += Processes.descendants(of: process.processIdentifier)
        kill(process.processIdentifier, SIGKILL)
        let start = ContinuousClock.now
        process.waitUntilExit()
        let isGone = await Sample.eventually(within: .seconds(10)) { !children.contains(where: Sample.isAlive) }
        #expect(isGone)
        print("\(way): gone \(start.duration(to: .now)) after its host")
    }

    private func wrap(_ count: Int, with provider: GuardedProvider) async throws {
        let binding = try Sample.binding
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<(count / 4) {
                        _ = try await provider.wrap(Sample.material(), binding: binding, Sample.call)
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// What a process holds.
    private struct Usage: CustomStringConvertible {
        let descriptors: Int
        let kilobytes: Int

        init(of pid: pid_t) throws {
            descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count
            let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
            let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
            kilobytes = line.flatMap { Int($0.filter(\.isNumber)) } ?? 0
        }

        var description: String { "\(descriptors) descriptors and \(kilobytes) KiB" }
    }
}

/// Who descends from whom, as `/proc` says it.
enum Processes {
    /// The parent of a process; nil where there is no such process.
    static func parent(of process: pid_t) -> pid_t? {
        let status = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
        let fields = status?.split(separator: ")").last?.split(separator: " ")
        return fields?.dropFirst().first.flatMap { pid_t($0) }
    }

    /// All that a process has started, and what that has.
    static func descendants(of ancestor: pid_t) -> [pid_t] {
        let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        let parents = processes.compactMap { pid_t($0) }.reduce(into: [:]) { $0[$1] = parent(of: $1) }
        var found: [pid_t] = []
        var next = [ancestor]
        while !next.isEmpty {
            next = parents.filter { next.contains($0.value) }.map(\.key)
            found += next
        }
        return found
    }
}
