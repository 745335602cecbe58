internal import ControlStore
internal import Frames
internal import KeyModel
internal import Scheduling

/// A schedule for people and programs: what is declared, what is recorded, what comes next.
struct ScheduleSummary: Encodable {
    let name: String
    let keyring: String?
    let action: String
    let times: String
    let tz: String
    /// `waits`, `runs`, `paused`, `overdue`, `disabled`, or how its open occurrence is doing.
    let state: String
    let next: String?
    let nextUTC: String?
    let lastStarted: String?
    let lastSuccess: String?
    let missed: Int64
    let skipped: [String: Int64]
    let pausedBy: String?
    let pausedReason: String?
    /// What its open run waits for a person to do.
    let waitsFor: String?
    let problems: [String]

    init(_ entry: ScheduleBoard.Entry) {
        name = entry.name.description
        keyring = entry.schedule?.keyring?.description
        action = entry.schedule?.action.word ?? "-"
        times = entry.schedule?.rules.explanation.first ?? entry.fault ?? "no longer declared"
        let zone = entry.schedule?.rules.zone
        tz = zone?.name ?? entry.record?.zone ?? "-"
        state = entry.state
        next = entry.next.flatMap { at in zone.map { $0.text(at) } }
        nextUTC = entry.next?.description
        lastStarted = entry.record?.lastStartedAt?.description
        lastSuccess = entry.record?.lastSuccessAt?.description
        missed = entry.record?.missed ?? 0
        skipped = entry.record?.skipped ?? [:]
        pausedBy = entry.record?.pause?.actor
        pausedReason = entry.record?.pause?.reason
        waitsFor = entry.waitsFor
        problems = entry.problems
    }
}

/// What became of one nominal time, for programs.
struct OccurrenceSummary: Encodable {
    let nominal: String
    let nominalLocal: String
    let zone: String
    let zoneVersion: String
    let reason: String
    let state: String
    let attempt: Int64
    let run: Int64?
    let passedOver: Int64
    let ignoresWindow: Bool
    let claimedAt: String
    let startedAt: String?
    let finishedAt: String?
    let nextAttemptAt: String?
    let message: String?

    init(_ occurrence: OccurrenceRecord) {
        nominal = occurrence.id.nominal.description
        nominalLocal = occurrence.nominalLocal
        zone = occurrence.zone
        zoneVersion = occurrence.zoneVersion
        reason = occurrence.reason
        state = occurrence.state.rawValue
        attempt = occurrence.attempt
        run = occurrence.run
        passedOver = occurrence.passedOver
        ignoresWindow = occurrence.ignoresWindow
        claimedAt = occurrence.claimedAt.description
        startedAt = occurrence.startedAt?.description
        finishedAt = occurrence.finishedAt?.description
        nextAttemptAt = occurrence.nextAttemptAt?.description
        message = occurrence.message
    }

    var row: [String] {
        [
            nominalLocal, reason, state, String(attempt), run.map(String.init) ?? "", startedAt ?? "", finishedAt ?? "",
            message ?? "",
        ]
    }

    static let headers = ["nominal", "why", "state", "attempt", "run", "started", "finished", "remark"]
}

/// What somebody asked of a schedule, and what became of it, for programs.
struct RequestSummary: Encodable {
    let request: Int64
    let at: String
    let kind: String
    let by: String
    let ignoresWindow: Bool
    /// What became of it; nil while nobody has dealt with it.
    let outcome: String?

    static let headers = ["request", "at", "what", "by", "outcome"]

    init(_ asked: (request: ScheduleRequest, outcome: String?)) {
        request = asked.request.number
        at = asked.request.at.description
        kind = asked.request.kind.rawValue
        by = asked.request.actor
        ignoresWindow = asked.request.ignoresWindow
        outcome = asked.outcome
    }

    var row: [String] {
        [String(request), at, ignoresWindow ? "\(kind), ignoring windows" : kind, by, outcome ?? "waits"]
    }
}

extension SchedulePreview {
    private struct Record: Encodable {
        let name: String?
        let tz: String
        let tzVersion: String
        let from: String
        let explanation: [String]
        let times: [Row]
        let warnings: [String]
        let refused: String?
        let clock: [String]
    }

    private struct Row: Encodable {
        let nominal: String
        let utc: String
        let local: String
        let opens: String?
        let starts: String?
        let startsUTC: String?
        let reason: String?
        let note: String?
    }

    /// The next times, for people and programs; not good where the schedule would be refused.
    func answer(_ name: String?, _ zone: Zone, from: Timestamp, showsTimes: Bool) throws -> Answer {
        let rows = times.map { time in
            Row(
                nominal: zone.text(time.occurrence.at), utc: time.occurrence.at.description,
                local: time.occurrence.local.description, opens: time.opens.map(zone.text),
                starts: time.starts.map(zone.text), startsUTC: time.starts?.description,
                reason: time.reason, note: time.occurrence.remark(in: zone))
        }
        let record = Record(
            name: name, tz: zone.name, tzVersion: zone.databaseVersion, from: zone.text(from), explanation: explanation,
            times: rows, warnings: warnings, refused: refusal, clock: clockNotes)
        var blocks: [Answer.Block] = [.lines(explanation)]
        if showsTimes {
            blocks.append(
                .table(
                    nil, ["nominal", "utc", "window opens", "starts", "starts, utc", "why", "clock"],
                    rows: rows.map {
                        [
                            $0.nominal, $0.utc, $0.opens ?? "never", $0.starts ?? "never", $0.startsUTC ?? "",
                            $0.reason ?? "time", $0.note ?? "",
                        ]
                    }))
        } else if !clockNotes.isEmpty {
            blocks.append(.lines(clockNotes.map { "clock: \($0)" }))
        }
        let remarks = warnings.map { "warning: \($0)" } + (refusal.map { ["refused: \($0)"] } ?? [])
        if !remarks.isEmpty { blocks.append(.lines(remarks)) }
        return try Answer(encoding: record, blocks, isGood: refusal == nil)
    }
}

extension ScheduleSimulation {
    private struct Record: Encodable {
        let starts: [Row]
        let skipped: [String: Int]
        let until: String
    }

    private struct Row: Encodable {
        let schedule: String
        let nominal: String
        let at: String
        let atUTC: String
        let reason: String
        let passedOver: Int
        let ignoresWindow: Bool
    }

    /// The runs, for people and programs.
    func answer(_ zones: [Name: Zone]) throws -> Answer {
        let rows = starts.map { start in
            let zone = zones[start.schedule] ?? .utc
            return Row(
                schedule: start.schedule.description, nominal: zone.text(start.nominal), at: zone.text(start.at),
                atUTC: start.at.description, reason: start.reason, passedOver: start.passedOver,
                ignoresWindow: start.ignoresWindow)
        }
        let skips = Dictionary(skipped.map { ($0.key.description, $0.value) }, uniquingKeysWith: { first, _ in first })
        let table = Answer.Block.table(
            nil, ["schedule", "nominal", "starts", "why", "makes up for"],
            rows: rows.map {
                [
                    $0.schedule, $0.nominal, $0.at, $0.ignoresWindow ? "\($0.reason), forced" : $0.reason,
                    String($0.passedOver),
                ]
            })
        return try Answer(
            encoding: Record(starts: rows, skipped: skips, until: end.description),
            [table, .lines(["\(rows.count) runs until \(end)"])])
    }
}
