package import KeyModel

extension ScheduleRules {
    /// What the rules mean, in English sentences.
    package var explanation: [String] {
        var lines = [timesInWords]
        if let windows, !windows.isAlwaysOpen {
            let names = windows.windows.map(\.description).joined(separator: " or ")
            lines.append("A run starts only within \(names); a time outside waits for the next opening.")
        }
        if let jitter {
            lines.append("Each start is put off by up to \(jitter.most.durationText), always the same for one time.")
        }
        if let maxKeyAge {
            lines.append(
                """
                The key is replaced before it is \(maxKeyAge.durationText) old, in the last opening before that; \
                such a run takes the place of the next time.
                """
            )
        }
        if let maxSeals { lines.append("A run also starts once \(maxSeals) seals were made under the key.") }
        return lines
    }

    /// What is odd about the expression, in words.
    package var remarks: [String] { if case .cron(let cron) = times { cron.expression.remarks } else { [] } }

    private var timesInWords: String {
        switch times {
        case .cron(let cron):
            let words = cron.expression.words
            return "\(words.prefix(1).uppercased())\(words.dropFirst()), \(zone.name) time."
        case .every(let grid, _):
            let phase = grid.phase == 0 ? "" : ", each \(Duration.milliseconds(grid.phase).durationText) later"
            return "Every \(grid.distance.durationText) since 1970-01-01T00:00Z\(phase), whatever clocks do."
        case .given: return "When its function says so, \(zone.name) time."
        }
    }

    /// The nominal times of a stretch that daylight saving moves or repeats; at most so many.
    package func clockNotes(from: Timestamp, to: Timestamp, most: Int = 20) -> [Occurrence] {
        guard case .cron(let cron) = times else { return [] }
        var notes: [Occurrence] = []
        var segment = cron.zone.table.segment(at: from.seconds)
        while let next = cron.zone.table.segment(after: segment), next.start < to.seconds, notes.count < most {
            let start = Timestamp(seconds: max(from.seconds, next.start - CronSchedule.unsettled))
            let end = Timestamp(seconds: min(to.seconds, next.start + CronSchedule.unsettled))
            let near = cron.occurrences(after: start).prefix { $0.at <= end }
            notes += near.filter { $0.note != nil && !notes.contains($0) }.prefix(most - notes.count)
            segment = next
        }
        return notes
    }
}
