internal import KeyModel

/// What rewriting values takes on disk, about, in bytes.
package struct RewriteCost: Hashable, Sendable {
    /// By how much the database grows meanwhile.
    package var tables: Int64
    /// How much goes through a write-ahead log beside it; nil where that is counted in ``tables``.
    package var log: Int64?

    /// Makes a cost.
    package init(tables: Int64, log: Int64? = nil) {
        self.tables = tables
        self.log = log
    }

    /// Both costs together.
    package static func + (left: RewriteCost, right: RewriteCost) -> RewriteCost {
        let logs = [left.log, right.log].compactMap(\.self)
        return RewriteCost(tables: left.tables + right.tables, log: logs.isEmpty ? nil : logs.reduce(0, +))
    }
}

/// The room that is left on the disks of a database, in bytes, as far as it is known.
package struct DiskRoom: Hashable, Sendable {
    /// Where the tables lie; nil where that is not known.
    package var tables: Int64?
    /// Where the write-ahead log lies; nil where that is not known, or the log lies with the tables and counts with them.
    package var log: Int64?
    /// By how much the log may still grow before its room is used again; nil where that is not known.
    package var logGrowth: Int64?
    /// Whether tables and log share one disk.
    package var isShared: Bool

    /// Makes what is known; nothing is, by default.
    package init(tables: Int64? = nil, log: Int64? = nil, logGrowth: Int64? = nil, isShared: Bool = false) {
        self.tables = tables
        self.log = log
        self.logGrowth = logGrowth
        self.isShared = isShared
    }

    /// What is missing for a rewriting, one text for each disk; nothing where nothing is known.
    package func shortages(for cost: RewriteCost) -> [String] {
        let log = cost.log.map { min($0, logGrowth ?? $0) } ?? 0
        var shortages: [String] = []
        if let tables, case let needed = cost.tables + (isShared ? log : 0), tables < needed {
            let part = isShared && log > 0 ? ", \(Readable.bytes(log)) of it for the write-ahead log" : ""
            shortages.append(
                "the rewriting needs about \(Readable.bytes(needed)) of disk\(part), \(Readable.bytes(tables)) are free"
            )
        }
        if !isShared, let free = self.log, free < log {
            shortages.append(
                "the rewriting needs about \(Readable.bytes(log)) of disk for the write-ahead log, \(Readable.bytes(free)) are free there"
            )
        }
        return shortages
    }
}
