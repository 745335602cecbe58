internal import Backups
internal import Control
internal import KeyModel
internal import Rotation

/// A backup with its manifest.
struct ShownBackup: Encodable {
    let backup: BackupEntry
    let manifest: BackupManifest
}

extension Answer {
    /// A backup.
    init(_ entry: BackupEntry) throws { try self.init(encoding: entry, [.record(entry.fields)]) }

    /// A destruction.
    init(_ entry: DestructionEntry) throws { try self.init(encoding: entry, [.record(entry.fields)]) }
}

extension BackupEntry {
    /// What people read.
    var fields: [Answer.Field] {
        [
            .init("backup", String(id)), .init("file", location), .init("bytes", Readable.count(bytes)),
            .init("made", finishedAt), .init("how", method), .init("run", run.map(String.init) ?? "none"),
            .init("stage", stage), .init("verified", "\(isPresent ? verified : "missing") at \(verifiedAt)"),
            .init("keys of its values", shownKeys),
            .init("kept", isPinned ? "pinned" : expiresAt.map { "until \($0)" } ?? "by count"),
        ]
    }

    fileprivate var shownKeys: String { keys.joined(separator: " ") + (keysScanned ? "" : " (not scanned)") }
}

extension BackupManifest {
    /// What people read beside the backup's own fields.
    var fields: [Answer.Field] {
        let proved = proof.map {
            "\($0.opened) values, \($0.canaries) canaries, \($0.exceptions) exceptions, root key from \($0.rootFrom)"
        }
        return [
            .init("made by", "\(tool) \(toolVersion)"), .init("sha256", sha256),
            .init("encrypted for", wrappedBy.isEmpty ? "nobody" : wrappedBy.joined(separator: ", ")),
            .init("proof", proved ?? "not restored yet"),
        ]
    }
}

extension [BackupEntry] {
    /// What people read.
    var block: Answer.Block {
        let headers = ["backup", "made", "how", "run", "stage", "verified", "keys", "expires"]
        let rows = map { entry in
            [
                String(entry.id), entry.finishedAt, entry.method, entry.run.map(String.init) ?? "", entry.stage,
                entry.isPresent ? entry.verified : "missing", entry.shownKeys,
                entry.isPinned ? "pinned" : entry.expiresAt ?? "", Readable.count(entry.bytes),
            ]
        }
        return .table(
            title: nil, columns: headers.map { Answer.Column($0) } + [Answer.Column("bytes", isNumber: true)],
            rows: rows)
    }
}

extension PruneResult {
    /// What people read: of what was removed, or of what would be.
    func block(isPlan: Bool = false) -> Answer.Block {
        func list(_ ids: [Int64]) -> String { ids.isEmpty ? "none" : ids.map(String.init).joined(separator: ", ") }
        return .lines(["\(isPlan ? "would go" : "removed"): \(list(removed))", "kept: \(list(kept))"] + reasons)
    }
}

extension RestoreResult {
    /// What people read.
    var blocks: [Answer.Block] {
        [
            .record([
                .init("backup", String(backup)), .init("restored to", place),
                .init("values opened", opened.map { Readable.count($0) } ?? "not yet"),
                .init("values that do not open", unopenable.map { Readable.count($0) } ?? "not yet"),
            ]), .lines(next),
        ]
    }
}

extension DrillResult {
    /// What people read.
    var blocks: [Answer.Block] {
        [
            .record([
                .init("backup", String(backup)), .init("drill", isPassed ? "passed" : "failed"),
                .init("took", "\(milliseconds) ms"), .init("found", report),
            ])
        ]
    }
}

extension RoomReport {
    /// What people read.
    var blocks: [Answer.Block] {
        func show(_ bytes: Int64?) -> String { bytes.map { Readable.count($0) + " bytes" } ?? "unknown" }
        return [
            .record([
                .init("database", show(database)), .init("its log", show(log)), .init("folder", directory),
                .init("needed there", show(needed)), .init("free there", show(free)), .init("scratch folder", scratch),
                .init("needed there to prove it", show(scratchNeeded)), .init("free there", show(scratchFree)),
            ]), .lines([obstacle ?? "it fits"]),
        ]
    }
}

extension DestructionEntry {
    /// What people read.
    var fields: [Answer.Field] {
        [
            .init("destruction", String(id)), .init("keyring", keyring), .init("keys", keys.joined(separator: ", ")),
            .init("state", state), .init("asked for", "\(requestedAt) by \(requestedBy)"), .init("reason", reason),
            .init("approved by", approvedBy ?? "nobody"), .init("due", dueAt), .init("ended", finishedAt ?? "not yet"),
        ]
    }
}

extension [DestructionEntry] {
    /// What people read.
    var block: Answer.Block {
        let headers = ["number", "keyring", "keys", "state", "asked for", "by", "approved by", "reason"]
        let rows = map { entry in
            [
                String(entry.id), entry.keyring, entry.keys.joined(separator: " "), entry.state, entry.requestedAt,
                entry.requestedBy, entry.approvedBy ?? "", entry.reason,
            ]
        }
        return .table(title: nil, columns: headers.map { Answer.Column($0) }, rows: rows)
    }
}

extension DestructionReport {
    /// What people read.
    var blocks: [Answer.Block] {
        let headers = ["key", "state", "retired", "backups that need it", "backups that hold it"]
        let rows = versions.map { version in
            [
                version.key, version.state, version.retiredAt ?? "never",
                version.neededBy.map(String.init).joined(separator: ", "),
                version.wrappedIn.map(String.init).joined(separator: ", "), Readable.count(version.liveValues),
            ]
        }
        return [
            .table(
                title: "what would go",
                columns: headers.map { Answer.Column($0) } + [Answer.Column("live values", isNumber: true)],
                rows: rows),
            .lines(obstacles.isEmpty ? ["nothing stands against it"] : obstacles.map { "against it: \($0)" }),
        ]
    }
}
