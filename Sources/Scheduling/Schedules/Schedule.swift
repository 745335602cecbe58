package import ControlStore
package import KeyModel

/// A schedule whose declaration was tried against zones and calendars: what the runner works with.
package struct Schedule: Hashable, Sendable {
    /// How its times come about where a function of Lua gives them.
    package enum Function: Hashable, Sendable {
        /// It says whether the schedule is due, asked so often.
        case when(poll: Duration)
        /// It says when the schedule is due next.
        case next
    }

    /// What a run does when its window closes.
    package enum WindowEnd: String, CaseIterable, Hashable, Sendable {
        /// It stops where it can go on, and does so in the next window.
        case checkpoint
        /// It goes on to its end.
        case finish
    }

    /// Its name.
    package let name: Name
    /// The keyring that it is about; nil for none.
    package let keyring: Name?
    /// What it does.
    package let action: ScheduleTerms.Action
    /// When.
    package var rules: ScheduleRules
    /// The function that gives its times; nil where the rules do.
    package let function: Function?
    /// What its runs do when a window closes.
    package var windowEnd: WindowEnd = .checkpoint
    /// How failed runs are tried again.
    package var retry = RetryPolicy()
    /// The schedules from which it keeps its distance.
    package var notWith: Set<Name> = []
    /// That distance.
    package var apart: Duration = .seconds(3600)
    /// The digest of its declaration.
    package let hash: String

    /// Makes a schedule with everything else at its default.
    package init(
        name: Name, keyring: Name? = nil, action: ScheduleTerms.Action = .rotate, rules: ScheduleRules,
        function: Function? = nil, hash: String = ""
    ) {
        self.name = name
        self.keyring = keyring
        self.action = action
        self.rules = rules
        self.function = function
        self.hash = hash
    }

    /// Tries a declaration.
    ///
    /// - Parameters:
    ///   - declaration: What was declared.
    ///   - zones: The time zone database.
    ///   - instance: The instance's id, which goes into delays.
    /// - Throws: ``SchedulingError`` for what cannot be read or contradicts itself.
    package init(
        _ declaration: ScheduleTerms, zones: ZoneDatabase, instance: String
    ) throws(SchedulingError) {
        let zone = try zones.zone(named: declaration.zone)
        name = declaration.name
        keyring = declaration.keyring
        action = declaration.action
        hash = declaration.hash
        function =
            switch declaration.timing {
            case .when(let poll): .when(poll: poll)
            case .next: .next
            case .cron, .every: nil
            }
        rules = ScheduleRules(try Self.times(declaration, in: zone))
        try Self.refuseWhatNeedsKeys(declaration)
        if !declaration.windows.isEmpty {
            var windows: [WeeklyWindow] = []
            for text in declaration.windows { windows.append(try WeeklyWindow(parsing: text)) }
            rules.windows = try WindowUnion(windows, in: zone)
        }
        rules.maxKeyAge = declaration.maxKeyAge
        rules.maxSeals = declaration.maxSeals
        rules.jitter = declaration.jitter.map { Jitter(most: $0, instance: instance, schedule: declaration.name) }
        rules.expectedDuration = declaration.expected ?? .zero
        rules.misfire = try Self.choice("misfire", declaration.misfire) ?? .runOnce
        rules.grace = declaration.grace ?? rules.grace
        rules.overlap = try Self.choice("overlap", declaration.overlap) ?? .skip
        rules.deadline = try Self.choice("on_deadline", declaration.deadline) ?? .alert
        windowEnd = try Self.choice("window_end", declaration.windowEnd) ?? .checkpoint
        if let retries = declaration.retries { retry.retries = Int(clamping: min(retries, 1000)) }
        retry.first = declaration.retryAfter ?? retry.first
        notWith = Set(declaration.notWith)
        apart = declaration.apart ?? apart
    }

    /// Refuses rules under which a key can never be replaced in time; a schedule whose times a function gives is not judged.
    ///
    /// - Throws: ``SchedulingError`` with `callerScheduleImpossible`.
    package func refuseImpossible(from now: Timestamp) throws(SchedulingError) {
        guard function == nil, rules.maxKeyAge != nil, rules.windows != nil else { return }
        if let refusal = Feasibility(of: rules, from: now).refusal(of: rules) { throw refusal }
    }

    private static func times(
        _ declaration: ScheduleTerms, in zone: Zone
    ) throws(SchedulingError) -> NominalTimes {
        let gap: CronSchedule.GapRule? = try choice("dst_gap", declaration.gap)
        switch declaration.timing {
        case .cron(let text): return .cron(CronSchedule(try CronExpression(parsing: text), in: zone, gap: gap ?? .run))
        case .every(let distance, let phase):
            return .every(try TimeGrid(every: distance, phase: phase), in: zone)
        case .when, .next: return .given(nil, in: zone)
        }
    }

    private static func refuseWhatNeedsKeys(_ declaration: ScheduleTerms) throws(SchedulingError) {
        guard declaration.action != .rotate, declaration.maxKeyAge != nil || declaration.maxSeals != nil else { return }
        throw SchedulingError(
            .callerScheduleImpossible,
            "max_key_age and max_seals belong to schedules that rotate, not to action \(quoted(declaration.action.word))",
            hint: "Leave them out here.")
    }

    private static func choice<Choice: RawRepresentable & CaseIterable>(
        _ word: String, _ text: String?
    ) throws(SchedulingError) -> Choice? where Choice.RawValue == String {
        guard let text else { return nil }
        if let choice = Choice(rawValue: text) { return choice }
        let known = Choice.allCases.map(\.rawValue)
        throw SchedulingError(
            .callerScheduleImpossible, "\(quoted(word)) is \(quoted(text)), which is not known",
            hint: nearest(to: text, among: known).map { "Did you mean \(quoted($0))?" }
                ?? "Known: \(known.joined(separator: ", ")).")
    }
}

/// How often a failed run is tried again, and when.
package struct RetryPolicy: Hashable, Sendable {
    /// How often after the first attempt.
    package var retries = 5
    /// How long the first wait is; each further one is twice as long.
    package var first: Duration = .seconds(60)
    /// No wait is longer.
    package var most: Duration = .seconds(3600)

    /// Makes a policy.
    package init(retries: Int = 5, first: Duration = .seconds(60), most: Duration = .seconds(3600)) {
        self.retries = retries
        self.first = first
        self.most = most
    }

    /// How long to wait after a failed attempt; nil where it was the last.
    ///
    /// Up to a quarter is added, drawn from the occurrence, so that many do not return together.
    package func wait(after attempt: Int, of occurrence: OccurrenceRecord.ID) -> Duration? {
        guard attempt <= retries else { return nil }
        var wait = first
        for _ in 1..<max(attempt, 1) where wait < most { wait = wait * 2 }
        wait = min(wait, most)
        let spread = Jitter(
            most: max(wait / 4, .seconds(1)), instance: "retry \(attempt)", schedule: occurrence.schedule)
        return wait + spread.delay(nominal: occurrence.nominal, start: occurrence.nominal, openingEnd: nil, next: nil)
    }
}
