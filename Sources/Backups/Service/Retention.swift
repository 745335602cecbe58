package import ControlStore
package import KeyModel

/// Decides which backups may go; pure.
package struct Retention: Sendable {
    /// How many of the newest verified backups stay, whatever is declared.
    package static let leastKept = 2

    /// The newest that are kept at least; nil where only age counts.
    package let keep: Int?
    /// How long each is kept at least.
    package let keepFor: Duration?
    /// How far back the log archive reaches.
    package let pitr: Duration?

    /// Takes the rules of a declaration.
    package init(_ declaration: BackupDeclaration) {
        keep = declaration.keep
        keepFor = declaration.keepFor
        pitr = declaration.pitr
    }

    /// When a backup that is made now may go; nil where no age is declared.
    package func expiry(of finished: Timestamp) -> Timestamp? {
        guard keepFor != nil || pitr != nil else { return nil }
        return finished.advanced(by: max(keepFor ?? .zero, pitr ?? .zero))
    }

    /// The backups that may go now.
    ///
    /// - Parameters:
    ///   - backups: All of them, in any order.
    ///   - openRun: The run that is open, whose backups stay.
    ///   - owed: Whether a run still owes the backup after it; nothing goes until it is verified.
    ///   - now: The time.
    /// - Returns: The backups that may go, oldest first.
    package func expendable(
        _ backups: [BackupRecord], openRun: Int64?, owed: Bool, now: Timestamp
    ) -> [BackupRecord] {
        guard !owed, keep != nil || keepFor != nil else { return [] }
        let newest = backups.sorted { ($0.startedAt, $0.id) > ($1.startedAt, $1.id) }
        let verified = newest.filter { $0.level >= .checksums }
        // What was not verified never stands in for what was.
        var safe = Set(verified.prefix(max(keep ?? 0, Self.leastKept)).map(\.id))
        if let base = pitrBase(newest, now: now) { safe.insert(base) }
        return newest.reversed().filter { backup in
            // One that failed its proof is never removed unseen: what it was proved with may have been at fault.
            backup.level > .claimed && !safe.contains(backup.id) && !backup.isPinned
                && (backup.run == nil || backup.run != openRun)
                && isOld(backup, now: now)
        }
    }

    private func isOld(_ backup: BackupRecord, now: Timestamp) -> Bool {
        let least = max(keepFor ?? .zero, pitr ?? .zero)
        return now.since(backup.finishedAt) >= least && (backup.expiresAt.map { $0 <= now } ?? true)
    }

    /// The newest backup that is older than the range of the log archive: what the archive's first hour begins from.
    private func pitrBase(_ newest: [BackupRecord], now: Timestamp) -> Int64? {
        guard let pitr else { return nil }
        let reach = now.advanced(by: .zero - pitr)
        return newest.first { $0.finishedAt <= reach && $0.level >= .checksums }?.id
    }
}
