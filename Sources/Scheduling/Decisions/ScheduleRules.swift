package import KeyModel

/// When a schedule wants a run, and what it does when that cannot be.
package struct ScheduleRules: Hashable, Sendable {
    /// What becomes of nominal times that passed while nothing could run.
    package enum Misfire: String, CaseIterable, Hashable, Sendable {
        /// One run makes up for all of them.
        case runOnce = "run_once"
        /// They are recorded as missed.
        case skip
    }

    /// What becomes of a nominal time while a run of the same schedule is open.
    package enum Overlap: String, CaseIterable, Hashable, Sendable {
        /// It is recorded as skipped.
        case skip
        /// It waits for the end of that run; a later one takes its place.
        case queueOne = "queue_one"
    }

    /// What becomes of a key that reaches its greatest age while no window is open.
    package enum Deadline: String, CaseIterable, Hashable, Sendable {
        /// It waits for the next window, and is overdue until then.
        case alert
        /// The run starts at the deadline.
        case force
    }

    /// The nominal times.
    package var times: NominalTimes
    /// When runs may start; nil for any time.
    package var windows: WindowUnion?
    /// How runs are spread; nil for not at all.
    package var jitter: Jitter?
    /// The greatest age of a key: a trigger of its own.
    package var maxKeyAge: Duration?
    /// The most seals under a key: a trigger of its own.
    package var maxSeals: UInt64?
    /// How long a run is expected to take; a run for the key's age starts so much earlier.
    package var expectedDuration: Duration = .zero
    /// What becomes of missed nominal times.
    package var misfire: Misfire = .runOnce
    /// A run that starts no later than this after its time is late, not missed.
    package var grace: Duration = .seconds(3600)
    /// What becomes of a nominal time during a run.
    package var overlap: Overlap = .skip
    /// What becomes of a key that grows too old between windows.
    package var deadline: Deadline = .alert

    /// Makes rules with everything else at its default.
    package init(_ times: NominalTimes, windows: WindowUnion? = nil) {
        self.times = times
        self.windows = windows
    }

    /// Makes rules for a cron expression.
    package init(cron: CronSchedule, windows: WindowUnion? = nil) { self.init(.cron(cron), windows: windows) }

    /// Makes rules from what somebody typed.
    ///
    /// - Parameters:
    ///   - cron: The expression.
    ///   - zone: Where it is read.
    ///   - gap: What becomes of a time that clocks jump over.
    ///   - windows: When runs may start, such as `Sat 01:00-05:00`; none for any time.
    ///   - maxKeyAge: How old a key may grow, such as `90d`; nil for any age.
    /// - Throws: ``SchedulingError`` or `KeyModelError`, which names what is wrong.
    package init(
        cron: String, in zone: Zone, gap: CronSchedule.GapRule = .run, windows: [String], maxKeyAge: String?
    ) throws {
        self.init(cron: CronSchedule(try CronExpression(parsing: cron), in: zone, gap: gap))
        if !windows.isEmpty {
            self.windows = try WindowUnion(try windows.map { try WeeklyWindow(parsing: $0) }, in: zone)
        }
        self.maxKeyAge = try maxKeyAge.map { try Duration(parsing: $0) }
    }

    /// Where its times are read.
    package var zone: Zone { times.zone }

    /// When the run for a nominal time starts: in the first opening that ends after `earliest`, after its delay.
    ///
    /// - Returns: The time and the end of the opening; nil where no window opens within 60 days.
    package func start(ofNominal nominal: Timestamp, notBefore earliest: Timestamp) -> (at: Timestamp, end: Timestamp?)?
    {
        let from = max(nominal, earliest)
        // What is always open has no edge to count a delay from but the nominal time itself.
        let gates = windows.flatMap { $0.isAlwaysOpen ? nil : $0 }
        guard let opening = gates.map({ $0.opening(atOrAfter: from) }) ?? Opening(start: nominal, end: nil) else {
            return nil
        }
        let start = max(opening.start, nominal)
        guard let jitter else { return (start, opening.end) }
        let delay = jitter.delay(
            nominal: nominal, start: start, openingEnd: opening.end, next: times.next(after: nominal)?.at)
        return (start.advanced(by: delay), opening.end)
    }

    /// When a run for a key's age starts: in the last opening before the key is too old, with time for the run
    /// itself.
    ///
    /// Never before half the greatest age, however long a run takes. Where no window opens in between, in the
    /// next one after that, which is too late unless ``deadline`` forces it.
    package func start(forKeyMadeAt made: Timestamp) -> Timestamp? {
        guard let maxKeyAge else { return nil }
        let deadline = made.advanced(by: maxKeyAge)
        let lead = expectedDuration + (jitter?.most ?? .zero)
        let target = max(deadline.advanced(by: .zero - lead), made.advanced(by: maxKeyAge / 2))
        guard let windows else { return spread(target, within: nil) }
        if let opening = windows.opening(startingAtOrBefore: target) {
            if windows.isAlwaysOpen || opening.start <= made, opening.contains(target) {
                return spread(target, within: opening.end)
            }
            if opening.start > made { return spread(opening.start, within: opening.end) }
        }
        let late = windows.start(ofWorkDueAt: target)
        return self.deadline == .force ? min(deadline, late ?? deadline) : late
    }

    private func spread(_ start: Timestamp, within end: Timestamp?) -> Timestamp {
        let delay = jitter?.delay(nominal: start, start: start, openingEnd: end, next: nil)
        return start.advanced(by: delay ?? .zero)
    }

    /// Whether a key is older than the rules allow.
    package func isOverdue(keyMadeAt made: Timestamp, at now: Timestamp) -> Bool {
        maxKeyAge.map { now.since(made) > $0 } ?? false
    }
}
