import ControlStore
import Foundation
import KeyModel
import SchedulerChecking
import Scheduling
import StorageSQLite
import Testing

/// A real process of the scheduler on a file of SQLite, killed at each state of an occurrence.
@Suite(.serialized) struct CrashTests {
    private struct Site {
        let folder: URL
        var file: String { folder.appending(path: "data.db").path }

        init() async throws {
            folder = FileManager.default.temporaryDirectory.appending(path: "scheduler-crash-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try await store(creating: true) { control in
                try await control.write { session in
                    try session.migrate(at: Timestamp(milliseconds: 0))
                    try session.insert(
                        InstanceRecord(
                            id: "soak", namespace: "soak", nonce: "n", epoch: 1, createdAt: Timestamp(milliseconds: 0),
                            rootKeyID: "r"))
                    try TracingActions.prepare(session)
                }
            }
        }

        func store<Value>(creating: Bool = false, _ body: (ControlStore) async throws -> Value) async throws -> Value {
            let engine = try SQLiteEngine(path: file, create: creating, busyTimeout: .seconds(20))
            let value = try await body(ControlStore(engine: engine))
            await engine.close()
            return value
        }

        /// What is recorded, held against the nominal times of so many schedules.
        func finding(of schedules: Int) async throws -> HistoryCheck.Finding {
            try await store { control in
                try await control.read { session in
                    let now = try session.currentTime()
                    let records = try session.schedules()
                    let expected = try records.map { record in
                        let index = Int(record.name.description.dropFirst()) ?? 0
                        let grid = NominalTimes.every(
                            try TimeGrid(every: .seconds(4), phase: .seconds(4) / schedules * index), in: .utc)
                        return (
                            record.name, record.activatedAt,
                            grid.occurrences(after: record.activatedAt).prefix { $0.at <= now }.map(\.at)
                        )
                    }
                    return HistoryCheck(
                        occurrences: try records.flatMap { try session.occurrences(of: $0.name, limit: 10_000) },
                        steps: try session.occurrenceSteps(), traces: try TracingActions.traces(session)
                    ).finding(of: expected, until: now.advanced(by: .seconds(-8)))
                }
            }
        }

        static var program: URL {
            let beside = Bundle.main.bundleURL.appending(path: "scheduler-node")
            if FileManager.default.isExecutableFile(atPath: beside.path) { return beside }
            return URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "scheduler-node")
        }

        /// Runs a process for so many seconds, or until it dies.
        func run(
            seconds: Int, schedules: Int = 4, dyingAt point: String? = nil, course: String = "calm"
        ) async throws -> (signal: Int32?, errors: String) {
            let process = Process()
            process.executableURL = Self.program
            process.arguments = ["sqlite:\(file)", "node", "\(schedules)", "4s", "\(seconds)"]
            process.environment = ProcessInfo.processInfo.environment.merging(
                (point.map { ["KEYTURN_DIE_AT": $0] } ?? [:]).merging(["KEYTURN_COURSE": course]) { $1 }
            ) { $1 }
            let errors = Pipe()
            process.standardError = errors
            try process.run()
            let text = await Task.detached {
                String(decoding: (try? errors.fileHandleForReading.readToEnd()) ?? Data(), as: UTF8.self)
            }.value
            process.waitUntilExit()
            return (process.terminationReason == .uncaughtSignal ? process.terminationStatus : nil, text)
        }
    }

    @Test func aSchedulerThatDiesAtAnyStateStartsNothingTwice() async throws {
        let site = try await Site()
        defer { try? FileManager.default.removeItem(at: site.folder) }
        var reached: [String] = []
        // What only another course of things comes to has a test of its own.
        for point in SchedulerPoint.allCases
        where ![.pendingNoted, .skipped, .retryRecorded, .pauseRecorded, .gaveUp].contains(point) {
            let output = try await site.run(seconds: 30, dyingAt: point.rawValue)
            #expect(output.signal == SIGKILL, "\(point.rawValue): \(output)")
            reached.append(point.rawValue)
        }
        let calm = try await site.run(seconds: 20)
        #expect(calm.signal == nil, "\(calm)")
        let finding = try await site.finding(of: 4)
        print("scheduler killed at \(reached.joined(separator: ", ")): \(finding.line)")
        #expect(finding.faults.isEmpty, "\(finding.faults)")
        #expect(finding.started >= 4 && finding.takenOver >= 2)
    }

    @Test(arguments: [
        (SchedulerPoint.pendingNoted, "delayed"), (.skipped, "slow"), (.retryRecorded, "failing"),
        (.pauseRecorded, "pausing"),
    ])
    func whatDiesOnARarerCourseStartsNothingTwiceEither(point: SchedulerPoint, course: String) async throws {
        let site = try await Site()
        defer { try? FileManager.default.removeItem(at: site.folder) }
        for _ in 0..<2 {
            let output = try await site.run(seconds: 60, schedules: 1, dyingAt: point.rawValue, course: course)
            #expect(output.signal == SIGKILL, "\(point.rawValue): \(output)")
        }
        let calm = try await site.run(seconds: 12, schedules: 1, course: course)
        #expect(calm.signal == nil, "\(calm)")
        let finding = try await site.finding(of: 1)
        print("scheduler killed at \(point.rawValue): \(finding.line)")
        #expect(finding.faults.isEmpty, "\(finding.faults)")
        #expect(finding.started >= 1 && (point != .skipped || finding.skipped >= 1))
    }

    @Test func aScheduleThatWasGivenUpStaysGivenUpWhateverDies() async throws {
        let site = try await Site()
        defer { try? FileManager.default.removeItem(at: site.folder) }
        let output = try await site.run(
            seconds: 60, schedules: 1, dyingAt: SchedulerPoint.gaveUp.rawValue, course: "hopeless")
        #expect(output.signal == SIGKILL, "\(output)")
        _ = try await site.run(seconds: 6, schedules: 1, course: "hopeless")
        let (rows, steps, record) = try await site.store { control in
            try await control.read { session in
                let name = try Name("s0")
                return (
                    try session.occurrences(of: name, limit: 100), try session.occurrenceSteps().map(\.what),
                    try session.schedule(name)
                )
            }
        }
        let starts = steps.filter { $0.hasPrefix("started") }.count
        #expect(rows.map(\.state) == [.needsOperator] && starts == 1, "\(steps)")
        #expect(record.pause?.reason.contains("as it was told to") == true)
    }

    /// The processor's time of a real process, which waits for times that are far away.
    @Test func aThousandIdleSchedulesTakeLessThanAHundredthOfAProcessor() async throws {
        let site = try await Site()
        defer { try? FileManager.default.removeItem(at: site.folder) }
        let process = Process()
        process.executableURL = Site.program
        process.arguments = ["sqlite:\(site.file)", "node", "1000", "36000d"]
        try process.run()
        defer { kill(process.processIdentifier, SIGKILL) }
        // Loading them takes a while where this is built without optimisation.
        while try await site.store({ try await $0.read { try $0.scheduler().clockHigh } }) == nil {
            try await Task.sleep(for: .milliseconds(500))
        }
        try await Task.sleep(for: .seconds(6))
        let before = try processorTime(of: process.processIdentifier)
        try await Task.sleep(for: .seconds(20))
        let share = (try processorTime(of: process.processIdentifier) - before) / 20
        print("1,000 idle schedules: \((share * 10_000).rounded() / 100) % of a processor")
        #expect(share < 0.01)
    }

    /// Seconds of a process, in user and kernel mode.
    private func processorTime(of process: Int32) throws -> Double {
        let text = try String(contentsOf: URL(filePath: "/proc/\(process)/stat"), encoding: .utf8)
        let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
        return (Double(fields[11]) ?? 0) / 100 + (Double(fields[12]) ?? 0) / 100
    }

    @Test func anUnknownPointIsRefused() async throws {
        let site = try await Site()
        defer { try? FileManager.default.removeItem(at: site.folder) }
        #expect(try await site.run(seconds: 1, dyingAt: "claimd").errors.contains("names no durable point"))
    }
}
