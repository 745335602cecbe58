package import CoreMetrics
internal import Synchronization

/// Keeps the figures that are counted and measured, and writes them in the text form of Prometheus.
///
/// A factory of swift-metrics; whoever makes a `Counter` or a `Meter` hands it in. The number of figures is bounded, so that
/// labels from outside cannot fill the memory.
package final class FigureRegistry: MetricsFactory {
    private struct Key: Hashable {
        let name: String
        let labels: String
    }

    private enum Kind: String {
        case counter, gauge, summary
    }

    private struct Figure {
        let kind: Kind
        let cell: Cell
    }

    private let figures = Mutex<[Key: Figure]>([:])

    /// No more figures are kept; further ones are counted nowhere.
    private static let mostFigures = 20_000

    /// Makes an empty registry.
    package init() {}

    /// Makes a counter, or hands out the one there is.
    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        cell(label, dimensions, .counter)
    }

    /// Makes a meter, or hands out the one there is.
    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        cell(label, dimensions, .gauge)
    }

    /// Makes a recorder: a sum and a count where it aggregates, else the last value.
    package func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        cell(label, dimensions, aggregate ? .summary : .gauge)
    }

    /// Makes a timer: a sum of seconds and a count.
    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        cell(label, dimensions, .summary)
    }

    /// Forgets a counter.
    package func destroyCounter(_ handler: any CounterHandler) { forget(handler) }
    /// Forgets a meter.
    package func destroyMeter(_ handler: any MeterHandler) { forget(handler) }
    /// Forgets a recorder.
    package func destroyRecorder(_ handler: any RecorderHandler) { forget(handler) }
    /// Forgets a timer.
    package func destroyTimer(_ handler: any TimerHandler) { forget(handler) }

    /// Everything, in the text form of Prometheus, version 0.0.4, ordered by name.
    package var text: String {
        let all = figures.withLock { $0 }
        var lines: [String] = []
        for (name, group) in Dictionary(grouping: all, by: \.key.name).sorted(by: { $0.key < $1.key }) {
            lines.append("# TYPE \(name) \(group[0].value.kind.rawValue)")
            for (key, figure) in group.sorted(by: { $0.key.labels < $1.key.labels }) {
                let (value, count) = figure.cell.read()
                if figure.kind == .summary {
                    lines.append("\(name)_sum\(key.labels) \(Self.number(value))")
                    lines.append("\(name)_count\(key.labels) \(count)")
                } else {
                    lines.append("\(name)\(key.labels) \(Self.number(value))")
                }
            }
        }
        return lines.isEmpty ? "" : lines.joined(separator: "\n") + "\n"
    }

    private func cell(_ label: String, _ dimensions: [(String, String)], _ kind: Kind) -> Cell {
        let key = Key(name: Self.name(label), labels: Self.labels(dimensions))
        return figures.withLock { figures in
            if let figure = figures[key] { return figure.cell }
            let cell = Cell()
            if figures.count < Self.mostFigures { figures[key] = Figure(kind: kind, cell: cell) }
            return cell
        }
    }

    private func forget(_ handler: AnyObject) {
        figures.withLock { figures in figures = figures.filter { $0.value.cell !== handler } }
    }

    /// A name as Prometheus takes it: letters, digits, underscores and colons, no digit first.
    private static func name(_ label: String) -> String {
        let name = String(label.unicodeScalars.map { isWord($0) ? Character($0) : "_" })
        return name.first.map { $0.isNumber } ?? true ? "_\(name)" : name
    }

    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || ("0"..."9").contains(scalar) || scalar == "_"
            || scalar == ":"
    }

    private static func labels(_ dimensions: [(String, String)]) -> String {
        guard !dimensions.isEmpty else { return "" }
        let pairs = dimensions.map { name, value in
            let escaped = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
            return "\(Self.name(name))=\"\(escaped)\""
        }
        return "{\(pairs.joined(separator: ","))}"
    }

    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return Int64(exactly: value).map(String.init) ?? "\(value)"
    }
}

/// One figure.
private final class Cell: CounterHandler, MeterHandler, RecorderHandler, TimerHandler {
    private let state = Mutex((value: 0.0, count: Int64(0)))

    func read() -> (value: Double, count: Int64) { state.withLock { $0 } }

    func increment(by amount: Int64) { state.withLock { $0.value += Double(amount) } }
    func reset() { state.withLock { $0 = (0, 0) } }
    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { state.withLock { $0.value = value } }
    func increment(by amount: Double) { state.withLock { $0.value += amount } }
    func decrement(by amount: Double) { state.withLock { $0.value -= amount } }
    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) { state.withLock { $0 = ($0.value + value, $0.count + 1) } }
    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
}
