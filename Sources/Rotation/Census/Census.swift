internal import ControlStore
internal import KeyModel

/// What a full count of a column found: every row, by the key that really opens its value.
package struct ColumnCensus: Hashable, Codable, Sendable {
    /// A row that stands out.
    package struct Finding: Hashable, Codable, Sendable {
        /// Its key, as people read it.
        package let row: String
        /// What it is.
        package let what: String
    }

    /// The column.
    package let column: String
    /// Rows of the table.
    package var rows: Int64 = 0
    /// Rows without a value.
    package var null: Int64 = 0
    /// Values of no bytes.
    package var empty: Int64 = 0
    /// Values that the active key alone opens.
    package var active: Int64 = 0
    /// Values that only an older key opens, by key id.
    package var old: [String: Int64] = [:]
    /// Values that are not sealed, where they should be.
    package var plaintext: Int64 = 0
    /// Values that no key here opens.
    package var unopenable: Int64 = 0
    /// The same for the rows that the column's `where` does not pick.
    package var outside = Outside()
    /// The first rows that stand out.
    package var findings: [Finding] = []
    /// How many rows stand out in all.
    package var noted: Int64 = 0

    /// Counts of rows that the column's `where` does not pick; they are never written.
    package struct Outside: Hashable, Codable, Sendable {
        /// Rows.
        package var rows: Int64 = 0
        /// Values that the active key opens.
        package var active: Int64 = 0
        /// Values that only an older key opens: exposed if that key is.
        package var old: Int64 = 0
        /// The same by key id; nil in counts of earlier versions.
        package var oldKeys: [String: Int64]?
        /// Values that look sealed, but that no key here opens.
        package var foreign: Int64 = 0
        /// Values that are not sealed.
        package var plaintext: Int64 = 0
    }

    /// The most findings that are named.
    package static let mostFindings = 20

    /// Makes a count of nothing.
    package init(column: String) { self.column = column }

    /// Values under older keys that a run is to rewrite.
    package var left: Int64 { old.values.reduce(0, +) }

    /// Values that no run will put right by itself.
    package var exceptions: Int64 { unopenable + plaintext + outside.old }

    /// Whether nothing is under an older key and everything opens.
    package var isClean: Bool { left == 0 && exceptions == 0 }

    /// Names a row that stands out, as long as there is room.
    package mutating func note(_ row: String, _ what: String) {
        noted += 1
        guard findings.count < Self.mostFindings else { return }
        findings.append(Finding(row: row, what: what))
    }
}

/// What a count of a keyring's columns found.
package struct Census: Hashable, Codable, Sendable {
    /// The keyring.
    package let keyring: String
    /// The active key; nil where there is none.
    package let activeKey: String?
    /// Its columns.
    package var columns: [ColumnCensus]

    /// Makes a census.
    package init(keyring: String, activeKey: String?, columns: [ColumnCensus]) {
        self.keyring = keyring
        self.activeKey = activeKey
        self.columns = columns
    }

    /// Whether nothing is under an older key and everything opens, in all columns.
    package var isClean: Bool { columns.allSatisfy(\.isClean) }
}
