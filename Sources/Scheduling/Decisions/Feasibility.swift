package import KeyModel

/// What a schedule's rules come to over some years: how often it starts, and whether a key can stay young enough.
///
/// Computed when a schedule loads, so that rules which cannot be kept are seen then and not after a year.
package struct Feasibility: Hashable, Sendable {
    /// Two starts that follow each other.
    package struct Gap: Hashable, Sendable {
        /// The earlier one.
        package let from: Timestamp
        /// The later one.
        package let to: Timestamp
        /// How far they lie apart.
        package var length: Duration { to.since(from) }
    }

    /// The stretches between some times: how many, the extremes, and how many are longer than a key may be old.
    package struct Gaps: Hashable, Sendable {
        /// How many there are.
        package private(set) var count = 0
        /// The shortest.
        package private(set) var shortest: Gap?
        /// The longest.
        package private(set) var longest: Gap?
        /// How many are longer than the greatest age of a key.
        package private(set) var overAge = 0
        /// The first of those.
        package private(set) var firstOverAge: Gap?

        mutating func add(_ gap: Gap, maxKeyAge: Duration?) {
            count += 1
            if shortest.map({ gap.length < $0.length }) ?? true { shortest = gap }
            if longest.map({ gap.length > $0.length }) ?? true { longest = gap }
            guard let maxKeyAge, gap.length > maxKeyAge else { return }
            overAge += 1
            if firstOverAge == nil { firstOverAge = gap }
        }
    }

    /// Where the look ahead begins.
    package let from: Timestamp
    /// Where it ends; earlier than asked for where the schedule fires more than 20,000 times.
    package private(set) var to: Timestamp
    /// How many nominal times there are.
    package private(set) var nominalCount = 0
    /// How many of them lie in a window; the others wait for the next.
    package private(set) var nominalCountInWindow = 0
    /// The stretches between nominal times.
    package private(set) var nominalGaps = Gaps()
    /// How many runs the nominal times start; times that wait for the same opening share one.
    package private(set) var startCount = 0
    /// The stretches between those runs, before any jitter.
    package private(set) var startGaps = Gaps()
    /// How many runs there are once the age of the key starts some of its own.
    package private(set) var runCount = 0
    /// How many of them the age of the key starts.
    package private(set) var ageRunCount = 0
    /// The stretches between all runs.
    package private(set) var runGaps = Gaps()

    /// No more nominal times are looked at.
    private static let mostNominals = 20_000

    /// Looks ahead from a time.
    package init(of rules: ScheduleRules, from: Timestamp, years: Int = 10) {
        self.from = from
        let today = rules.zone.local(at: from).day
        let date = CalendarDate(daysSinceEpoch: today)
        let last = CalendarDate.daysSinceEpoch(year: date.year + years, month: date.month, day: date.day)
        to = from.advanced(by: .seconds((last - today) * 86_400))
        var rules = rules
        rules.jitter = nil
        countNominals(rules)
        countRuns(rules)
    }

    /// Whether no run ever comes in time: every stretch between runs is longer than a key may be old.
    package var isImpossible: Bool { runGaps.count > 0 && runGaps.overAge == runGaps.count }

    private mutating func countNominals(_ rules: ScheduleRules) {
        var lastNominal: Timestamp?
        var lastStart: Timestamp?
        for occurrence in rules.times.occurrences(after: from) {
            guard occurrence.at < to else { return }
            guard nominalCount < Self.mostNominals else {
                to = lastNominal ?? from
                return
            }
            nominalCount += 1
            if let lastNominal {
                nominalGaps.add(Gap(from: lastNominal, to: occurrence.at), maxKeyAge: rules.maxKeyAge)
            }
            lastNominal = occurrence.at
            guard let start = rules.start(ofNominal: occurrence.at, notBefore: occurrence.at)?.at else { continue }
            if start == occurrence.at { nominalCountInWindow += 1 }
            guard start != lastStart else { continue }
            startCount += 1
            if let lastStart { startGaps.add(Gap(from: lastStart, to: start), maxKeyAge: rules.maxKeyAge) }
            lastStart = start
        }
    }

    /// Plays the schedule through, each run making a key at once; the first run is the first nominal time's.
    private mutating func countRuns(_ rules: ScheduleRules) {
        var facts = ScheduleFacts(activatedAt: from)
        var now = from
        while runCount < Self.mostNominals {
            switch rules.decide(at: now, facts) {
            case .wait(let planned?):
                guard planned.at > now, planned.at < to else { return }
                now = planned.at
            case .start(let run):
                runCount += 1
                if run.trigger == .keyAge { ageRunCount += 1 }
                if let made = facts.keyMadeAt { runGaps.add(Gap(from: made, to: now), maxKeyAge: rules.maxKeyAge) }
                facts.watermark = run.nominal
                facts.keyMadeAt = now
            case .wait(nil), .hold, .skip: return
            }
        }
    }
}

extension Feasibility {
    /// What whoever wrote the rules should know, with numbers; empty where there is nothing.
    package func warnings(for rules: ScheduleRules) -> [String] {
        let zone = rules.zone
        guard nominalCount > 0 else { return ["fires at no time from \(zone.text(from)) to \(zone.text(to))"] }
        var warnings = rules.remarks
        if let windows = rules.windows, startCount == 0 {
            return warnings + ["\(words(of: windows)) never opens when it should start"]
        }
        if nominalCount == Self.mostNominals {
            warnings.append("fires so often that only the time to \(zone.text(to)) was looked at")
        }
        if rules.windows != nil, nominalCountInWindow < nominalCount {
            warnings.append(
                "\(nominalCountInWindow) of \(nominalCount) nominal times lie in a window; the others wait for one"
            )
        }
        guard let maxKeyAge = rules.maxKeyAge else { return warnings }
        let age = maxKeyAge.durationText
        if nominalGaps.overAge > 0 {
            warnings.append(
                """
                \(nominalGaps.overAge) of \(nominalGaps.count) gaps between nominal times exceed max_key_age \(age), \
                even without windows
                """
            )
        }
        if startGaps.overAge > 0, let shortest = startGaps.shortest, let longest = startGaps.longest {
            warnings.append(
                """
                \(startGaps.overAge) of \(startGaps.count) gaps between starts exceed max_key_age \(age): they are \
                \(shortest.length.durationText) to \(longest.length.durationText) long; \
                the age of the key starts runs of its own, \(runCount) runs instead of \(startCount)
                """
            )
        }
        if runGaps.overAge > 0, let first = runGaps.firstOverAge {
            warnings.append(
                """
                no window falls within max_key_age \(age) in \(runGaps.overAge) of \(runGaps.count) cases, \
                first from \(zone.text(first.from)) to \(zone.text(first.to)), which is \(first.length.durationText)
                """
            )
        }
        return warnings
    }

    /// Why rules under which no key can ever be replaced in time are refused; nil for all others.
    ///
    /// - Returns: A ``SchedulingError`` with `callerScheduleImpossible`.
    package func refusal(of rules: ScheduleRules) -> SchedulingError? {
        guard isImpossible, let maxKeyAge = rules.maxKeyAge, let shortest = runGaps.shortest else { return nil }
        return SchedulingError(
            .callerScheduleImpossible,
            """
            no window ever falls within max_key_age \(maxKeyAge.durationText): of \(runGaps.count) gaps between runs \
            the shortest is \(shortest.length.durationText)
            """,
            hint: "Open windows more often, or allow keys to grow older."
        )
    }

    private func words(of windows: WindowUnion) -> String {
        windows.windows.map(\.description).joined(separator: " or ")
    }
}
