internal import ArgumentParser
internal import Foundation
internal import KeyModel
internal import Rotation
internal import Scheduling
internal import Terminal

/// The command `keyturn schedule`.
struct ScheduleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schedule", abstract: "Look at what schedules come to.", subcommands: [ScheduleNextCommand.self]
    )
}

extension CronSchedule.GapRule: ExpressibleByArgument {}

/// The command `keyturn schedule next`.
struct ScheduleNextCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "next", abstract: "Show when a cron expression fires in a time zone; needs no instance.",
        discussion: """
            Example: keyturn schedule next --cron '0 3 1 */3 *' --tz Europe/Berlin --window 'Sat 01:00-05:00'

            KEYTURN_ZONEINFO names another time zone database than \(ZoneDatabase.systemRoot).
            """
    )

    @OptionGroup var global: GlobalOptions

    @Option(
        name: .long, help: "The expression: minute, hour, day of month, month, day of week; or a macro such as @weekly."
    )
    var cron: String

    @Option(name: .long, help: "The time zone by its name in the database, such as Europe/Berlin.")
    var tz: String

    @Option(name: .long, help: "Show times after this one, such as 2027-03-27T00:00:00+01:00; else after now.")
    var from: String?

    @Option(name: .long, help: "How many times, 1 to 1000.")
    var count = 5

    @Option(name: .long, help: "When runs may start, such as 'Sat 01:00-05:00'; may be given again.")
    var window: [String] = []

    @Option(name: .long, help: "What becomes of a time that clocks jump over: run, or skip.")
    var dstGap: CronSchedule.GapRule = .run

    @Option(name: .long, help: "How old a key may grow, such as 90d; checked over ten years.")
    var maxKeyAge: String?

    func validate() throws {
        guard (1...1000).contains(count) else { throw ValidationError("--count must be from 1 to 1000") }
    }

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let zone = try ZoneDatabase.configured().zone(named: tz)
        let rules = try ScheduleRules(cron: cron, in: zone, gap: dstGap, windows: window, maxKeyAge: maxKeyAge)
        let start = try from.map { try Timestamp(withOffset: $0) } ?? SystemClock().now()
        let preview = SchedulePreview(of: rules, from: start, count: count)
        return Outcome(
            NextTimes(preview, cron, zone, from: start).report, status: preview.refusal == nil ? .ok : .refused)
    }
}

/// The next times of an expression, for people and programs.
private struct NextTimes: Encodable {
    let cron: String
    let tz: String
    let tzVersion: String
    let from: String
    let explanation: [String]
    let times: [NextTime]
    let warnings: [String]
    /// Why a configuration with these rules would be refused; absent where it would not.
    let refused: String?

    init(_ preview: SchedulePreview, _ cron: String, _ zone: Zone, from start: Timestamp) {
        self.cron = cron
        tz = zone.name
        tzVersion = zone.databaseVersion
        from = zone.text(start)
        explanation = preview.explanation
        times = preview.times.map { NextTime($0, zone) }
        warnings = preview.warnings
        refused = preview.refusal
    }

    var report: Report {
        let hasWindows = times.contains { $0.starts != $0.nominal }
        let hasNotes = times.contains { $0.note != nil }
        let columns = ["nominal", "utc"] + (hasWindows ? ["starts"] : []) + (hasNotes ? ["clock"] : [])
        let rows = times.map { time in
            [time.nominal, time.utc] + (hasWindows ? [time.starts ?? "never"] : [])
                + (hasNotes ? [time.note ?? ""] : [])
        }
        let notes = warnings.map { "warning: \($0)" } + (refused.map { ["refused: \($0)"] } ?? [])
        return Report(
            self,
            [.lines(explanation), .table(nil, columns: columns.map { Table.Column($0) }, rows: rows)]
                + (notes.isEmpty ? [] : [.lines(notes)]))
    }
}

/// One time at which a schedule fires.
private struct NextTime: Encodable {
    /// The nominal time with the zone's offset.
    let nominal: String
    /// The same instant in UTC.
    let utc: String
    /// The time on the wall that matched.
    let local: String
    /// When the run starts, after windows; absent where no window opens.
    let starts: String?
    let startsUTC: String?
    /// What daylight saving does.
    let note: String?

    init(_ time: SchedulePreview.Time, _ zone: Zone) {
        nominal = zone.text(time.occurrence.at)
        utc = Zone.utc.text(time.occurrence.at).replacing("+00:00", with: "Z")
        local = time.occurrence.local.description
        starts = time.starts.map(zone.text)
        startsUTC = time.starts.map { Zone.utc.text($0).replacing("+00:00", with: "Z") }
        note = time.occurrence.remark(in: zone)
    }
}
