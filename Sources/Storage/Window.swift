package import PluginKit

/// Which rows a window is read from.
package enum RowScope: Hashable, Sendable {
    /// Those that the predicate picks.
    case matching
    /// All of them; each says whether the predicate picks it.
    case all
}

/// Asks for the next rows of a column in key order.
package struct WindowRequest: Sendable {
    /// The column.
    package var target: ColumnTarget
    /// Which rows.
    package var scope: RowScope
    /// The key after which to begin; nil for the beginning.
    package var after: RowKey?
    /// The key at which to end, included; nil for the end of the table.
    package var through: RowKey?
    /// The most rows, 1…100 000.
    package var rowLimit: Int
    /// About the most bytes of values; at least one row is read.
    package var byteLimit: Int
    /// Whether rows without a value are passed over.
    package var skipsNull: Bool

    /// Makes a request.
    package init(
        target: ColumnTarget, scope: RowScope, after: RowKey? = nil, through: RowKey? = nil, rowLimit: Int = 10_000,
        byteLimit: Int = 8 << 20, skipsNull: Bool = true
    ) {
        self.target = target
        self.scope = scope
        self.after = after
        self.through = through
        self.rowLimit = rowLimit
        self.byteLimit = byteLimit
        self.skipsNull = skipsNull
    }
}

/// The rows of a window, fully drained.
package struct Window: Sendable {
    /// The rows in key order.
    package let rows: [StoredRow]
    /// Whether nothing follows within the bounds asked for.
    package let isLast: Bool

    /// Makes a window.
    package init(rows: [StoredRow], isLast: Bool) {
        self.rows = rows
        self.isLast = isLast
    }
}

/// A row as it was read: its key and the column's value.
package struct StoredRow: Hashable, Sendable {
    /// The primary key.
    package let key: RowKey
    /// The value, byte for byte.
    package let value: StoredValue
    /// Whether the predicate picks the row.
    package let isMatching: Bool

    /// Makes a row.
    package init(key: RowKey, value: StoredValue, isMatching: Bool) {
        self.key = key
        self.value = value
        self.isMatching = isMatching
    }
}

/// One value to be replaced, if it still is what was read.
package struct Swap: Sendable {
    /// The row.
    package let key: RowKey
    /// The value that must stand there, byte for byte and of the same type.
    package let old: StoredValue
    /// The value to write.
    package let new: StoredValue
    /// Whether the target's assignments are written too (a plaintext is being sealed).
    package let setsAssignments: Bool

    /// Makes a swap.
    package init(key: RowKey, old: StoredValue, new: StoredValue, setsAssignments: Bool = false) {
        self.key = key
        self.old = old
        self.new = new
        self.setsAssignments = setsAssignments
    }
}

/// How the rows of a column are best divided into windows and transactions on an engine.
package struct BatchTuning: Hashable, Sendable {
    /// Rows read at once.
    package var windowRows: Int
    /// Transactions a window.
    package var batchesPerWindow: Int
    /// Whether a batch takes every n-th row of its window (PostgreSQL, which then prunes between commits) or a run of
    /// neighbours (SQLite).
    package var isStrided: Bool
    /// Windows that one writer reads together and writes in turns, so that its commits do not hold each other's pruning.
    package var interleavedWindows: Int
    /// Connections that write at once.
    package var writers: Int
    /// Whether nothing should be read while something is written, since a reader's snapshot keeps the room of replaced
    /// rows from being used again.
    package var readsApart: Bool

    /// Makes a tuning.
    package init(
        windowRows: Int, batchesPerWindow: Int, isStrided: Bool, interleavedWindows: Int = 1, writers: Int = 1,
        readsApart: Bool = false
    ) {
        self.readsApart = readsApart
        self.windowRows = windowRows
        self.batchesPerWindow = batchesPerWindow
        self.isStrided = isStrided
        self.interleavedWindows = interleavedWindows
        self.writers = writers
    }
}
