package import Control
internal import KeyModel
package import Terminal

/// Says how far a run has come, in a line.
package enum ProgressText {
    private static let barWidth = 20

    /// The line for a terminal: phase, subject, bar, share, counts, rate, time left; the least telling go where there is no room.
    package static func line(_ progress: ControlEvent.Progress, width: Int, style: Style = .plain) -> String {
        let head = "run \(progress.run) \(progress.phase)".escapedForTerminal
        if let waiting = progress.waiting {
            return style.apply(.warning, to: "\(head) waits: \(waiting.escapedForTerminal)".truncated(to: width))
        }
        let share = share(of: progress)
        let parts: [(text: String?, rank: Int)] = [
            (head, 0), (progress.subject.isEmpty ? nil : progress.subject.escapedForTerminal, 3),
            (share.map(bar), 6), (share.map { "\($0) %" }, 1), (counts(progress), 2), (rate(progress), 5),
            (left(progress), 4),
        ]
        for rank in (0...6).reversed() {
            let line = parts.filter { $0.rank <= rank }.compactMap(\.text).joined(separator: "  ")
            if line.terminalWidth <= width { return style.apply(.strong, to: head) + line.dropFirst(head.count) }
        }
        return head.truncated(to: width)
    }

    /// The line for a log or a pipe.
    package static func plain(_ progress: ControlEvent.Progress) -> String {
        let head = ["run \(progress.run)", progress.phase, progress.subject].filter { !$0.isEmpty }
        if let waiting = progress.waiting {
            return "\(head.joined(separator: " ")) waits: \(waiting)".escapedForTerminal
        }
        let share = share(of: progress).map { "\($0) %" }
        let parts = [counts(progress), share, rate(progress), left(progress)].compactMap { $0 }
        return "\(head.joined(separator: " ").escapedForTerminal): \(parts.joined(separator: ", "))"
    }

    /// Whole per cent, rounded down so that 100 means all.
    private static func share(of progress: ControlEvent.Progress) -> Int? {
        guard let total = progress.total, total > 0 else { return nil }
        return progress.done >= total ? 100 : Int(min(99, max(0, Double(progress.done) / Double(total) * 100)))
    }

    private static func bar(_ share: Int) -> String {
        let filled = share * barWidth / 100
        return "[" + String(repeating: "#", count: filled) + String(repeating: "-", count: barWidth - filled) + "]"
    }

    private static func counts(_ progress: ControlEvent.Progress) -> String? {
        if progress.unit == "bytes" {
            let total = progress.total.map { " of \(Readable.bytes($0))" } ?? ""
            return Readable.bytes(progress.done) + total
        }
        guard progress.done > 0 || progress.total != nil else { return nil }
        let total = progress.total.map { " of \(Readable.count($0))" } ?? ""
        return "\(Readable.count(progress.done))\(total) \(progress.unit.escapedForTerminal)"
    }

    private static func rate(_ progress: ControlEvent.Progress) -> String? {
        guard progress.rate > 0, progress.rate.isFinite else { return nil }
        if progress.unit == "bytes" { return Readable.bytes(Int64(min(progress.rate, 1e18))) + "/s" }
        return Readable.rate(progress.rate, unit: progress.unit.escapedForTerminal)
    }

    private static func left(_ progress: ControlEvent.Progress) -> String? {
        progress.leftMilliseconds.map { "\(Readable.duration(.milliseconds(max(0, $0)))) left" }
    }
}
