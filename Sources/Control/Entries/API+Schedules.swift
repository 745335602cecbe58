internal import ControlStore
internal import Frames
internal import KeyModel
internal import Rotation
internal import Scheduling

extension API {
    /// What schedules come to, and how they are steered: `schedules.…`.
    static var schedules: [Entry] {
        [
            Entry(
                "schedules.list", "List the schedules, when each starts next and how it is doing",
                details: "Good only where no schedule needs anyone.", example: "schedules.list()",
                result: "a list of schedules", role: .viewer, takesConfiguration: true, handler: list),
            Entry(
                "schedules.show", "Show a schedule: what it waits for, and what became of its latest nominal times",
                example: "schedules.show(\"quarterly\")", parameters: [.schedule],
                result: "the schedule with its occurrences", errors: ["callerNotFound"], role: .viewer,
                takesConfiguration: true, handler: show),
            Entry(
                "schedules.explain", "Say in words what a schedule means, with warnings and what clocks do to it",
                details: "Good only where it would not be refused. Without a name it explains rules that you give.",
                example: "schedules.explain(\"quarterly\")", parameters: [.anySchedule] + rules,
                result: "explanation, warnings, refused, clock", errors: ["callerNotFound"], role: .viewer,
                takesConfiguration: true
            ) { call in try await preview(call, showsTimes: false) },
            Entry(
                "schedules.preview", "Show the next times of a schedule, or of rules that you give",
                details: """
                    Nominal time, when its window opens, when it starts after its delay, local and in UTC, and what clocks do \
                    to it. Changes nothing and needs no daemon.
                    """,
                example: "schedules.preview(\"quarterly\", 8)",
                parameters: [.anySchedule, .optional("n", .integer(1...1000), "how many times", default: 10)] + rules
                    + [.optional("from", .text, "from when on, such as 2027-03-27T00:00:00+01:00; default: now")],
                result: "times, explanation, warnings, refused", errors: ["callerNotFound"], role: .viewer,
                takesConfiguration: true
            ) { call in try await preview(call, showsTimes: true) },
            Entry(
                "schedules.simulate", "Play all schedules through, as if every run succeeded at once",
                details: "Schedules whose times a function gives start for the age of their key alone.",
                example: "schedules.simulate{from = \"2027-01-01T00:00:00Z\", to = \"2028-01-01T00:00:00Z\"}",
                parameters: [
                    .required("from", .text, "from when on"), .required("to", .text, "until when"),
                    .optional("name", .text, "this schedule alone"),
                ], result: "the runs that would start", errors: ["callerNotFound"], role: .viewer,
                takesConfiguration: true, handler: simulate),
            Entry(
                "schedules.pause", "Keep a schedule from starting anything",
                details: "Nominal times that pass meanwhile get no run. A run that works goes on.",
                example: "schedules.pause(\"quarterly\", \"audit\")",
                parameters: [.schedule, .required("reason", .text, "why")], result: "the schedule's name",
                errors: ["callerNotFound"], role: .operator, effect: .adds, handler: pause),
            Entry(
                "schedules.resume", "Let a paused schedule go on",
                details: "Does not look back. A run that was given up is tried again.",
                example: "schedules.resume(\"quarterly\", \"audit is over\")",
                parameters: [.schedule, .required("reason", .text, "why")], result: "the schedule's name",
                errors: ["callerNotFound"], role: .operator, effect: .adds, handler: resume),
            Entry(
                "schedules.trigger", "Run a schedule's action now",
                details: """
                    In its next window, or at once with ignore_window; its nominal times are not affected. The daemon that \
                    holds the schedules does it.
                    """,
                example: "schedules.trigger{name = \"quarterly\", ignore_window = true}",
                parameters: [.schedule, .optional("ignore_window", .truth, "start outside of windows too")],
                result: "the number of the request", errors: ["callerNotFound"], role: .operator,
                effect: .changes { call in
                    let name = try call.arguments.required("name")
                    let how = call.arguments.truth("ignore_window") ? ", outside of its windows too" : ""
                    return Proposal("This runs the schedule \"\(name)\" now\(how)", byTyping: name)
                }
            ) { call in try await ask(.trigger, call) },
            Entry(
                "schedules.backfill", "Run a schedule once for the nominal times of a stretch that had no run",
                details: "One run stands for all of them, since several in a row would only burn keys.",
                example:
                    "schedules.backfill{name = \"quarterly\", from = \"2027-01-01T00:00:00Z\", to = \"2027-06-01T00:00:00Z\"}",
                parameters: [
                    .schedule, .required("from", .text, "from when on"), .required("to", .text, "until when"),
                    .optional("ignore_window", .truth, "start outside of windows too"),
                ],
                result: "the number of the request", errors: ["callerNotFound"], role: .operator,
                effect: .changes { call in
                    let name = try call.arguments.required("name")
                    let stretch = try range(call.arguments)
                    return Proposal(
                        "This runs the schedule \"\(name)\" once for what it missed from \(stretch.lowerBound) to \(stretch.upperBound)",
                        byTyping: name)
                }
            ) { call in try await ask(.backfill, call) },
            Entry(
                "schedules.accept_clock", "Accept the present time after a clock was far ahead",
                details: """
                    Schedules stand still while the clock shows less than they have worked at already. Where that was the \
                    mistake, this takes the present time as right and looks ahead from it.
                    """,
                example: "schedules.accept_clock(\"the clock was in 2037 for an hour\")",
                parameters: [.required("reason", .text, "why")], result: "the time that was accepted",
                role: .serverAdmin,
                effect: .changes { _ in
                    Proposal("This accepts the database's present time as right", byTyping: "clock")
                }, handler: acceptClock),
        ]
    }

    private static let rules: [Parameter] = [
        .optional("cron", .text, "an expression, in place of a name"), .optional("tz", .text, "its zone"),
        .optional("window", .texts, "its windows", default: []),
        .optional("max_key_age", .text, "how old a key may grow"),
    ]

    private static func list(_ call: Invocation) async throws -> Answer {
        let board = try await ScheduleBoard(call)
        let summaries = board.entries.map(ScheduleSummary.init)
        let rows = summaries.map { summary in
            [
                summary.name, summary.keyring ?? "-", summary.action, summary.state, summary.next ?? "-",
                summary.lastSuccess ?? "never", summary.tz,
            ]
        }
        var lines = [board.holder.map { "worked by \($0.holder), lease \($0.epoch)" } ?? "nobody works the schedules"]
        lines += summaries.compactMap { summary in summary.waitsFor.map { "\(summary.name): \($0)" } }
        lines += board.problems.map { "problem: \($0)" }
        return try Answer(
            encoding: summaries,
            [
                .table(
                    nil, ["schedule", "keyring", "action", "state", "next start", "last success", "zone"], rows: rows),
                .lines(lines),
            ], isGood: board.problems.isEmpty)
    }

    private static func show(_ call: Invocation) async throws -> Answer {
        struct Detail: Encodable {
            let summary: ScheduleSummary
            let explanation: [String]
            let occurrences: [OccurrenceSummary]
            let requests: [RequestSummary]
        }
        let name = try call.arguments.name("name")
        let entry = try await ScheduleBoard(call).entry(name)
        let (latest, requests) = try await call.instance.context.control.read { session in
            (try session.occurrences(of: name, limit: 20), try session.scheduleRequests(of: name, limit: 5))
        }
        let (summary, occurrences) = (ScheduleSummary(entry), latest.map(OccurrenceSummary.init))
        let paused = summary.pausedReason.map { "\($0) (by \(summary.pausedBy ?? "?"))" }
        return try Answer(
            encoding: Detail(
                summary: summary, explanation: entry.schedule?.rules.explanation ?? [], occurrences: occurrences,
                requests: requests.map(RequestSummary.init)),
            [
                .fields([
                    "schedule": summary.name, "state": summary.state, "waits for": summary.waitsFor ?? "nobody",
                    "next start": summary.next ?? "-",
                    "last success": summary.lastSuccess ?? "never", "paused": paused ?? "no",
                    "missed": String(summary.missed),
                ]), .lines(entry.schedule?.rules.explanation ?? []),
                .table("latest", OccurrenceSummary.headers, rows: occurrences.map(\.row)),
            ]
                + (requests.isEmpty
                    ? [] : [.table("asked for", RequestSummary.headers, rows: requests.map { RequestSummary($0).row })])
                + (summary.problems.isEmpty ? [] : [.lines(summary.problems.map { "problem: \($0)" })]),
            isGood: summary.problems.isEmpty)
    }

    private static func preview(_ call: Invocation, showsTimes: Bool) async throws -> Answer {
        let board = try await ScheduleBoard(call)
        let from = try call.arguments.text("from").map { try Timestamp(withOffset: $0) } ?? board.now
        let count = Int(call.arguments.integer("n") ?? 10)
        if call.arguments.text("name") != nil {
            let name = try call.arguments.name("name")
            let entry = try board.entry(name)
            guard let schedule = entry.schedule else {
                throw ControlError(.callerUsage, "schedule \"\(name)\" is disabled: \(entry.fault ?? "")")
            }
            var given: [Timestamp]?
            if schedule.function != nil {
                given = try await ScheduleForecast(call, schedule, entry).times(from: from, count: count)
            }
            var preview = SchedulePreview(of: schedule.rules, from: from, count: count, given: given)
            if given == nil, schedule.action == .rotate, let last = preview.times.compactMap(\.starts).max() {
                let facts = try await call.instance.context.control.read { try $0.keyFacts() }
                let end = last.advanced(by: .milliseconds(1))
                preview = preview.following(ScheduleSimulation(of: [schedule], from: from, to: end, facts: facts))
            }
            return try preview.answer(name.description, schedule.rules.zone, from: from, showsTimes: showsTimes)
        }
        guard let cron = call.arguments.text("cron"), let tz = call.arguments.text("tz") else {
            throw ControlError(
                .callerUsage, "\(call.entry.name) needs a name, or cron and tz", hint: "It is \(call.entry.signature).")
        }
        let zone = try board.zones.zone(named: tz)
        let rules = try ScheduleRules(
            cron: cron, in: zone, windows: call.arguments.texts("window"),
            maxKeyAge: call.arguments.text("max_key_age"))
        return try SchedulePreview(of: rules, from: from, count: count).answer(
            nil, zone, from: from, showsTimes: showsTimes)
    }

    private static func simulate(_ call: Invocation) async throws -> Answer {
        let board = try await ScheduleBoard(call)
        let range = try range(call.arguments)
        var schedules = board.entries.compactMap(\.schedule)
        if call.arguments.text("name") != nil {
            let name = try call.arguments.name("name")
            schedules = [try board.entry(name).schedule].compactMap(\.self)
        }
        let facts = try await call.instance.context.control.read { try $0.keyFacts() }
        let zones = Dictionary(schedules.map { ($0.name, $0.rules.zone) }, uniquingKeysWith: { first, _ in first })
        return try ScheduleSimulation(of: schedules, from: range.lowerBound, to: range.upperBound, facts: facts)
            .answer(zones)
    }

    private static func pause(_ call: Invocation) async throws -> Answer {
        let (name, reason) = (try call.arguments.name("name"), try call.arguments.required("reason"))
        let (actor, alongside) = (call.actor, call.alongside)
        try await call.instance.context.control.write { session in
            _ = try session.schedule(name)
            let now = try session.currentTime()
            try session.setPause(ScheduleRecord.Pause(at: now, actor: actor, reason: reason), of: name)
            try alongside(session)
        }
        return Answer(["name": .string(name.description)], [.lines(["schedule \"\(name)\" is paused"])])
    }

    private static func resume(_ call: Invocation) async throws -> Answer {
        let (name, alongside) = (try call.arguments.name("name"), call.alongside)
        let wasPaused = try await call.instance.context.control.write { session in
            let wasPaused = try session.schedule(name).pause != nil
            try session.resumeSchedule(name, at: try session.currentTime())
            try alongside(session)
            return wasPaused
        }
        return Answer(
            ["name": .string(name.description), "was_paused": .bool(wasPaused)],
            [.lines(["schedule \"\(name)\" \(wasPaused ? "goes on" : "was not paused")"])])
    }

    private static func ask(_ kind: ScheduleRequest.Kind, _ call: Invocation) async throws -> Answer {
        let name = try call.arguments.name("name")
        let range = kind == .backfill ? try range(call.arguments) : nil
        let (actor, alongside, ignores) = (call.actor, call.alongside, call.arguments.truth("ignore_window"))
        let (number, isWorked) = try await call.instance.context.control.write { session in
            _ = try session.schedule(name)
            let now = try session.currentTime()
            guard try !session.openOccurrences().contains(where: { $0.id.schedule == name }) else {
                throw ControlError(
                    .callerBusy, "a run of schedule \(quoted(name.description)) is open",
                    hint: "schedules.show(\(quoted(name.description))) tells how it is doing.")
            }
            let request = ScheduleRequest(
                schedule: name, kind: kind, at: now, actor: actor, ignoresWindow: ignores,
                range: range)
            let number = try session.insert(request)
            try alongside(session)
            return (number, try session.schedulerLease().map { $0.expiresAt > now } ?? false)
        }
        let lines =
            ["asked; schedules.show(\(quoted(name.description))) tells what becomes of it"]
            + (isWorked ? [] : ["nobody works the schedules now: it waits for \"keyturn serve\""])
        return Answer(
            ["request": .integer(number), "name": .string(name.description), "worked": .bool(isWorked)], [.lines(lines)]
        )
    }

    private static func acceptClock(_ call: Invocation) async throws -> Answer {
        let (alongside, zones) = (call.alongside, try ZoneDatabase.configured())
        let declarations = call.instance.configuration.schedules
        let schedules = declarations.compactMap { declaration in
            // A schedule that cannot be used has nothing to look ahead for.
            try? Schedule(ScheduleTerms(declaration), zones: zones, instance: "")
        }
        let now = try await call.instance.context.control.write { session in
            let now = try session.currentTime()
            try session.acceptClock(now) { record in
                let schedule = schedules.first { $0.name == record.name }
                return schedule?.rules.times.next(after: now)?.at ?? now
            }
            try alongside(session)
            return now
        }
        return Answer(["now": .string(now.description)], [.lines(["\(now) is taken as right"])])
    }

    private static func range(_ arguments: Arguments) throws -> ClosedRange<Timestamp> {
        let from = try Timestamp(withOffset: try arguments.required("from"))
        let to = try Timestamp(withOffset: try arguments.required("to"))
        guard from <= to else { throw ControlError(.callerUsage, "\"from\" is later than \"to\"") }
        guard to.since(from) <= .seconds(100 * 366 * 86_400) else {
            throw ControlError(.callerUsage, "\"from\" and \"to\" lie more than a hundred years apart")
        }
        return from...to
    }
}

extension Parameter {
    fileprivate static let schedule = Parameter.required("name", .text, "the schedule")
    fileprivate static let anySchedule = Parameter.optional("name", .text, "the schedule")
}

/// The next times of a schedule whose function gives them.
private struct ScheduleForecast {
    private let functions: any ScheduleFunctions
    private let schedule: Schedule
    private let facts: FunctionFacts
    private let mostAsked = 1000

    init(_ call: Invocation, _ schedule: Schedule, _ entry: ScheduleBoard.Entry) async throws {
        functions = try await call.service.source.script(of: call.instance.configuration)
        self.schedule = schedule
        let key = try await call.instance.context.control.read { try $0.keyFacts() }
        facts = FunctionFacts(
            now: entry.record?.activatedAt ?? Timestamp(milliseconds: 0), zone: schedule.rules.zone.name,
            after: Timestamp(milliseconds: 0), lastSuccess: entry.record?.lastSuccessAt,
            key: schedule.keyring.flatMap { key[$0] } ?? KeyFacts())
    }

    /// Of `next` one after the other; of `when` the first time at which it says so, asked as often as it would be.
    func times(from: Timestamp, count: Int) async throws -> [Timestamp] {
        var facts = facts
        facts.now = from
        facts.after = from
        var times: [Timestamp] = []
        guard case .when(let poll) = schedule.function else {
            while times.count < count {
                let value = try await functions.evaluate(schedule.name, .next, facts)
                guard case .at(let time?) = try FunctionAnswer(value, of: .next, facts) else { break }
                times.append(time)
                (facts.now, facts.after) = (time, time)
            }
            return times
        }
        for _ in 0..<mostAsked where times.isEmpty {
            let value = try await functions.evaluate(schedule.name, .when, facts)
            if try FunctionAnswer(value, of: .when, facts) == .isDue(true) { times.append(facts.now) }
            facts.now = facts.now.advanced(by: poll)
        }
        return times
    }
}
