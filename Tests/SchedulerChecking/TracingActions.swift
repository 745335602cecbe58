package import ControlStore
package import KeyModel
package import Scheduling
internal import Storage

/// A trivial action that leaves a trace in a table of the application's: it begins, beats a few times and ends, each in a
/// transaction that checks the scheduler's lease.
package struct TracingActions: OccurrenceActions {
    /// How its actions go.
    package enum Course: String, Sendable {
        /// They end soon, and well.
        case calm
        /// They take longer than it is to the next nominal time.
        case slow
        /// The first attempt fails.
        case failing
        /// They stop once at a checkpoint.
        case pausing
        /// No attempt ends well.
        case hopeless
    }

    private let course: Course
    private let control: ControlStore
    private let process: Int64
    private let beats: Int
    private let pause: Duration

    /// Makes actions.
    ///
    /// - Parameters:
    ///   - control: Where to leave traces.
    ///   - process: What tells this process from others.
    ///   - course: How they go.
    ///   - beats: How often an action beats.
    ///   - pause: How long it pauses before each beat.
    package init(
        control: ControlStore, process: Int64, course: Course = .calm, beats: Int = 2,
        pause: Duration = .milliseconds(100)
    ) {
        self.course = course
        self.control = control
        self.process = process
        self.beats = beats
        self.pause = pause
    }

    /// Makes the table for traces.
    package static func prepare(_ session: ControlSession) throws {
        try session.storage.execute(
            """
            CREATE TABLE IF NOT EXISTS soak_trace (number integer PRIMARY KEY, schedule text NOT NULL,
                nominal text NOT NULL, epoch integer NOT NULL, process integer NOT NULL, what text NOT NULL)
            """)
    }

    /// What was left so far.
    package static func traces(_ session: ControlSession) throws -> [Trace] {
        let sql: SQL = "SELECT number, schedule, nominal, epoch, process, what FROM soak_trace ORDER BY number"
        return try session.storage.query(sql).compactMap { row in
            guard let kind = Trace.Kind(rawValue: try row.text(5)) else { return nil }
            return Trace(
                number: try row.integer(0),
                occurrence: OccurrenceRecord.ID(schedule: try Name(row.text(1)), nominal: try row.timestamp(2)),
                epoch: try row.integer(3), process: try row.integer(4), kind: kind)
        }
    }

    /// Begins, beats and ends.
    package func perform(
        _ request: OccurrenceRequest, started: @escaping @Sendable (Int64) async throws -> Void
    ) async throws -> OccurrenceOutcome {
        try await leave(.begin, request)
        if request.run == nil { try await started(request.id.nominal.milliseconds / 1000) }
        switch course {
        case .pausing where request.run == nil: return .paused
        case .failing where request.attempt == 1, .hopeless: return .failed("as it was told to")
        default: break
        }
        for _ in 0..<(course == .slow ? 30 * beats : beats) {
            try await Task.sleep(for: pause)
            try await leave(.beat, request)
        }
        try await leave(.end, request)
        return .succeeded(nil)
    }

    /// Nothing: it ends by itself soon.
    package func checkpoint(_ request: OccurrenceRequest) async throws {}
    /// Nothing is known of keys.
    package func keyFacts() async throws -> [Name: KeyFacts] { [:] }
    /// Nothing else works there.
    package func occupant() async throws -> String? { nil }

    private func leave(_ kind: Trace.Kind, _ request: OccurrenceRequest) async throws {
        let process = process
        // Lost connections are what the test makes; the write is repeated, and the lease is checked each time.
        for attempt in 1...20 {
            do {
                return try await control.write { session in
                    try session.checkSchedulerLease(epoch: request.epoch)
                    let isThere: SQL = """
                        SELECT 1 FROM soak_trace WHERE schedule = \(request.id.schedule.description)
                            AND nominal = \(request.id.nominal) AND epoch = \(request.epoch) AND what = \(kind.rawValue)
                        """
                    if kind != .beat, try !session.storage.query(isThere).isEmpty { return }
                    try session.storage.execute(
                        """
                        INSERT INTO soak_trace (number, schedule, nominal, epoch, process, what)
                        SELECT coalesce(max(number), 0) + 1, \(request.id.schedule.description), \(request.id.nominal),
                            \(request.epoch), \(process), \(kind.rawValue) FROM soak_trace
                        """)
                }
            } catch let error as StorageError where attempt < 20 {
                guard error.isTransient || error.code == .storeUnexpected else { throw error }
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }
}
