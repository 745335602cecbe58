/// How results are printed.
package enum ResultFormat: String, CaseIterable, Sendable {
    /// Tables and records, fitted to the terminal.
    case table
    /// One envelope, laid out over lines.
    case json
    /// A value a line, without an envelope.
    case ndjson
    /// Comma-separated values, the first table of a result.
    case csv
    /// The value as Lua would write it.
    case lua

    /// Whether programs read it.
    package var isForPrograms: Bool { self == .json || self == .ndjson || self == .csv }
}
