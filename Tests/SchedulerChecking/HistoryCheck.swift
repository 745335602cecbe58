package import ControlStore
package import KeyModel
internal import Storage

/// What an action of a test has left in the database: it began, it works, it has ended.
package struct Trace: Hashable, Sendable {
    /// What it left.
    package enum Kind: String, Sendable {
        /// It has begun, or was taken up again.
        case begin
        /// It works.
        case beat
        /// It has ended.
        case end
    }

    /// Its place in the order of all; the server gives it.
    package let number: Int64
    /// Which occurrence.
    package let occurrence: OccurrenceRecord.ID
    /// Under which lease.
    package let epoch: Int64
    /// Which process.
    package let process: Int64
    /// What.
    package let kind: Kind

    /// Makes a trace.
    package init(number: Int64, occurrence: OccurrenceRecord.ID, epoch: Int64, process: Int64, kind: Kind) {
        self.number = number
        self.occurrence = occurrence
        self.epoch = epoch
        self.process = process
        self.kind = kind
    }
}

/// Reads the history of schedulers and says whether each nominal time started exactly once and no two runs ever worked at once.
package struct HistoryCheck: Sendable {
    /// What was found.
    package struct Finding: Sendable {
        /// Nominal times that lie in the stretch looked at.
        package var nominals = 0
        /// Those that started, each once.
        package var started = 0
        /// Those that a later one made up for, as is recorded with it.
        package var madeUpFor = 0
        /// Those that were skipped, as is recorded.
        package var skipped = 0
        /// Those that are done.
        package var succeeded = 0
        /// Attempts that were taken over from a process that was killed or stopped.
        package var takenOver = 0
        /// Leases that wrote something.
        package var epochs = 0
        /// What is not as it must be, in words.
        package var faults: [String] = []

        /// Makes a finding of nothing.
        package init() {}

        /// All of it in one line.
        package var line: String {
            let verdict =
                faults.isEmpty
                ? "each nominal time started exactly once, no two runs at once" : "\(faults.count) FAULTS: \(faults[0])"
            return """
                \(nominals) nominal times: \(started) started, \(madeUpFor) made up for by a later one, \(skipped) skipped, \
                \(succeeded) done; \(takenOver) taken over, \(epochs) leases; \(verdict)
                """
        }
    }

    private let occurrences: [OccurrenceRecord]
    private let steps: [OccurrenceStep]
    private let traces: [Trace]

    /// Takes what is recorded.
    package init(occurrences: [OccurrenceRecord], steps: [OccurrenceStep], traces: [Trace]) {
        self.occurrences = occurrences
        self.steps = steps
        self.traces = traces
    }

    /// Looks at all of it.
    ///
    /// - Parameters:
    ///   - schedules: When each was activated, with its nominal times.
    ///   - end: Up to when nominal times count; what came later may not have started yet.
    /// - Returns: The counts, and every fault.
    package func finding(
        of schedules: [(name: Name, activatedAt: Timestamp, nominals: [Timestamp])], until end: Timestamp
    ) -> Finding {
        var finding = Finding()
        checkNominals(schedules, end, &finding)
        checkStarts(end, &finding)
        checkOrder(&finding)
        checkTraces(&finding)
        return finding
    }

    /// Every nominal time has one occurrence, or is counted with a later one that makes up for it.
    private func checkNominals(
        _ schedules: [(name: Name, activatedAt: Timestamp, nominals: [Timestamp])], _ end: Timestamp,
        _ finding: inout Finding
    ) {
        let recorded = Dictionary(grouping: occurrences, by: \.id.schedule)
        for (name, activated, nominals) in schedules {
            let rows = (recorded[name] ?? []).sorted { $0.id < $1.id }
            let expected = Set(nominals.filter { $0 > activated && $0 <= end })
            finding.nominals += expected.count
            for row in rows where !nominals.contains(row.id.nominal) {
                finding.faults.append("\(name) ran for \(row.id.nominal), which is no nominal time of it")
            }
            let present = Set(rows.map(\.id.nominal))
            var last = activated
            for row in rows where row.id.nominal <= end {
                let between = expected.filter { $0 > last && $0 < row.id.nominal && !present.contains($0) }.count
                if between != Int(row.passedOver) {
                    finding.faults.append(
                        "\(name) \(row.id.nominal) makes up for \(row.passedOver) nominal times, but \(between) have no run"
                    )
                }
                finding.madeUpFor += between
                last = row.id.nominal
            }
            for missing in expected where missing > last {
                finding.faults.append("\(name) has no run for \(missing)")
            }
        }
    }

    /// Every occurrence was claimed once and started once; whatever else began was taken over or resumed.
    private func checkStarts(_ end: Timestamp, _ finding: inout Finding) {
        let history = Dictionary(grouping: steps, by: \.occurrence)
        for row in occurrences where row.id.nominal <= end {
            let words = (history[row.id] ?? []).map(\.what)
            let claims = words.filter { $0.hasPrefix("claimed") }.count
            let starts = words.filter { $0.hasPrefix("started") }.count
            if row.state == .skipped, claims + starts == 0 {
                finding.skipped += 1
                continue
            }
            if claims != 1 { finding.faults.append("\(row.id.schedule) \(row.id.nominal) was claimed \(claims) times") }
            if starts == 1 {
                finding.started += 1
            } else {
                finding.faults.append("\(row.id.schedule) \(row.id.nominal) was started \(starts) times")
            }
            finding.takenOver += words.filter { $0.hasPrefix("taken over") }.count
            let ends = words.filter { $0.hasPrefix("succeeded") }.count
            if ends > 1 { finding.faults.append("\(row.id.schedule) \(row.id.nominal) ended \(ends) times") }
            finding.succeeded += ends
        }
    }

    /// Nobody wrote under a lease after a later one had written.
    private func checkOrder(_ finding: inout Finding) {
        var latest: Int64 = 0
        for step in steps.sorted(by: { $0.number < $1.number }) {
            if step.epoch < latest {
                finding.faults.append(
                    "step \(step.number) was written under lease \(step.epoch), after lease \(latest)")
            }
            latest = max(latest, step.epoch)
        }
        finding.epochs = Set(steps.map(\.epoch)).count
    }

    /// From where one attempt began until it ended, or another took its occurrence over, nothing else worked.
    private func checkTraces(_ finding: inout Finding) {
        var current: Trace?
        var latest: Int64 = 0
        for trace in traces.sorted(by: { $0.number < $1.number }) {
            if trace.epoch < latest {
                finding.faults.append("an action worked under lease \(trace.epoch), after lease \(latest)")
            }
            latest = max(latest, trace.epoch)
            switch trace.kind {
            case .begin:
                if let current, current.occurrence != trace.occurrence, !isOver(current.occurrence, before: trace) {
                    finding.faults.append(
                        "\(trace.occurrence.schedule) began while \(current.occurrence.schedule) was not over")
                }
                if let current, current.epoch == trace.epoch, current.process == trace.process,
                    current.occurrence == trace.occurrence
                {
                    finding.faults.append("\(trace.occurrence.schedule) began twice under lease \(trace.epoch)")
                }
                current = trace
            case .beat, .end:
                if current?.occurrence != trace.occurrence || current?.epoch != trace.epoch {
                    finding.faults.append("\(trace.occurrence.schedule) worked outside of its turn")
                }
                if trace.kind == .end { current = nil }
            }
        }
    }

    /// Whether an action whose end was not left had ended all the same: its process died after the action and before the end.
    private func isOver(_ occurrence: OccurrenceRecord.ID, before trace: Trace) -> Bool {
        steps.contains { $0.occurrence == occurrence && $0.what.hasPrefix("succeeded") && $0.epoch <= trace.epoch }
    }
}
