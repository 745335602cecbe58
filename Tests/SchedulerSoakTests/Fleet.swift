import ControlStore
import Foundation
import KeyModel
import PostgreSQLTesting
import SchedulerChecking
import Scheduling
import StoragePostgreSQL
import Testing
import ToolTesting

/// Several schedulers as processes on one database, which are killed, stopped and cut off at random.
struct Fleet {
    /// What was done to it.
    struct Toll {
        var kills = 0
        var stops = 0
        var cuts = 0
        var longestTakeOver: Duration = .zero
        var takeOvers = 0
    }

    let schedules: Int
    let distance: Duration
    let database: ScratchPostgreSQL
    let control: ControlStore
    /// How long leases last; nil for as long as a daemon's do.
    let lease: Duration?
    private var random: SeededGenerator
    private var nodes: [Process?]
    private(set) var toll = Toll()
    private var until = Timestamp(milliseconds: 0)

    init(
        nodes: Int, schedules: Int, distance: Duration, lease: Duration?, seed: UInt64,
        on database: ScratchPostgreSQL, _ control: ControlStore
    ) async throws {
        self.lease = lease
        self.schedules = schedules
        self.distance = distance
        self.database = database
        self.control = control
        random = SeededGenerator(seed: seed)
        self.nodes = Array(repeating: nil, count: nodes)
        let now = Timestamp(milliseconds: 0)
        try await control.write { session in
            try session.migrate(at: now)
            try session.insert(
                InstanceRecord(
                    id: "soak", namespace: "soak", nonce: "n", epoch: 1, createdAt: now, rootKeyID: "r"))
            try TracingActions.prepare(session)
        }
    }

    /// Runs it for a time; whoever holds the lease when it is killed or stopped is taken over from by another.
    mutating func run(for length: Duration, kills: Int, stops: Int, cuts: Int) async throws {
        for index in nodes.indices { nodes[index] = try start(index) }
        defer { for node in nodes.compactMap(\.self) { kill(node.processIdentifier, SIGKILL) } }
        let clock = ContinuousClock()
        let end = clock.now + length
        var order =
            Array(repeating: 0, count: kills) + Array(repeating: 1, count: stops) + Array(repeating: 2, count: cuts)
        order.shuffle(using: &random)
        // Between two blows there is some peace, in which there must be progress; a blow may take as long as a take-over does.
        let peace = min(.seconds(4), length / 2 / order.count)
        for blow in order {
            try await clock.sleep(for: peace)
            switch blow {
            case 0: try await killOne()
            case 1: try await stopOne()
            default: try await cutAll()
            }
        }
        if end > clock.now { try await clock.sleep(until: end) }
        let last = clock.now + .seconds(90)
        // Whatever was due until now is let come to its end.
        let due = try await control.read { try $0.currentTime() }
        until = due
        while clock.now < last, try await !check().faults.isEmpty {
            try await clock.sleep(for: .seconds(1))
        }
    }

    /// What is recorded, checked for the nominal times until the end of the run.
    func check() async throws -> HistoryCheck.Finding {
        let until = until
        let (records, occurrences, steps, traces) = try await control.read { session in
            let records = try session.schedules()
            var steps: [OccurrenceStep] = []
            while case let more = try session.occurrenceSteps(after: steps.last?.number ?? 0), !more.isEmpty {
                steps += more
            }
            return (
                records, try records.flatMap { try session.occurrences(of: $0.name, limit: 100_000) }, steps,
                try TracingActions.traces(session)
            )
        }
        let expected = try records.map { record in
            let index = Int(record.name.description.dropFirst()) ?? 0
            let grid = NominalTimes.every(
                try TimeGrid(every: distance, phase: distance / schedules * index), in: .utc)
            let nominals = grid.occurrences(after: record.activatedAt).prefix {
                $0.at <= until.advanced(by: .seconds(3600))
            }.map(\.at)
            return (record.name, record.activatedAt, nominals)
        }
        return HistoryCheck(occurrences: occurrences, steps: steps, traces: traces).finding(of: expected, until: until)
    }

    private func start(_ index: Int) throws -> Process {
        let process = Process()
        process.executableURL = Self.program
        process.arguments = [
            "postgresql:\(database.url())", "node-\(index)", String(schedules), distance.durationText,
        ]
        process.environment = ProcessInfo.processInfo.environment.merging(
            lease.map { ["KEYTURN_LEASE": $0.durationText] } ?? [:]
        ) { $1 }
        process.standardError = FileHandle.standardError
        try process.run()
        return process
    }

    private static var program: URL {
        Bundle.main.bundleURL.appending(path: "scheduler-node").exists
            ?? URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "scheduler-node")
    }

    /// The node that holds the lease, else any.
    private mutating func target() async throws -> Int {
        let lease = try await control.read { try $0.schedulerLease() }
        let holder = lease.flatMap { lease in nodes.indices.first { lease.node == "node-\($0)" } }
        let any = Int.random(in: nodes.indices, using: &random)
        return Bool.random(using: &random) ? holder ?? any : any
    }

    private mutating func killOne() async throws {
        let index = try await target()
        guard let node = nodes[index] else { return }
        let before = try await control.read { try $0.schedulerLease() }
        kill(node.processIdentifier, SIGKILL)
        node.waitUntilExit()
        toll.kills += 1
        nodes[index] = nil
        if before?.node == "node-\(index)", Int.random(in: 0..<5, using: &random) == 0 {
            try await awaitTakeOver(from: before?.epoch ?? 0)
        }
        nodes[index] = try start(index)
    }

    /// Stops a process until another has taken over, and lets it wake.
    private mutating func stopOne() async throws {
        guard let lease = try await control.read({ try $0.schedulerLease() }),
            let index = nodes.indices.first(where: { lease.node == "node-\($0)" }), let node = nodes[index]
        else { return }
        kill(node.processIdentifier, SIGSTOP)
        toll.stops += 1
        try await awaitTakeOver(from: lease.epoch)
        try await Task.sleep(for: .milliseconds(Int.random(in: 100...3000, using: &random)))
        kill(node.processIdentifier, SIGCONT)
    }

    private mutating func cutAll() async throws {
        try database.application.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keyturn' AND datname = current_database()"
                + " AND random() < 0.7 AND state <> 'active'")
        toll.cuts += 1
    }

    private mutating func awaitTakeOver(from epoch: Int64) async throws {
        let begin = ContinuousClock.now
        while ContinuousClock.now - begin < .seconds(60) {
            // What drops connections also drops ours.
            if let lease = try? await control.read({ try $0.schedulerLease() }), lease.epoch > epoch {
                toll.takeOvers += 1
                toll.longestTakeOver = max(toll.longestTakeOver, ContinuousClock.now - begin)
                return
            }
            try await Task.sleep(for: .milliseconds(100))
        }
        Issue.record("nobody took over from lease \(epoch) within a minute")
    }
}

extension URL {
    fileprivate var exists: URL? { FileManager.default.isExecutableFile(atPath: path) ? self : nil }
}
