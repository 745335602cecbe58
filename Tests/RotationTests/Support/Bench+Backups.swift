import ControlStore
import Foundation
import KR1
import KeyModel
import PluginKit
import Rotation

extension Bench {
    /// Lists a backup of one byte that holds nothing, for what only reads the catalogue.
    @discardableResult
    func list(
        backupOf run: Int64? = nil, _ stage: BackupStage = .manual, _ level: BackupLevel = .restored,
        startedAt: Timestamp? = nil, needing keys: [KeyID] = [], holding wrapped: [KeyID] = []
    ) async throws -> Int64 {
        let now = startedAt ?? clock.now()
        let file = path("backup-\(UUID().uuidString)")
        try Data([1]).write(to: URL(filePath: file))
        return try await control.write { session in
            try session.insertBackup { id in
                BackupRecord(
                    id: id, method: "sqlite", location: file, bytes: 1, sha256: "", startedAt: now,
                    finishedAt: now, run: run, stage: stage, level: level, verifiedAt: now, expiresAt: nil,
                    isScanned: true, dataKeys: keys, wrappedKeys: wrapped, wrappers: [], manifest: "")
            }
        }.id
    }

    /// Sets the stored text of a row as something would that the fence does not stop.
    func putPastTheFence(_ value: String, row: Int) throws {
        for name in try application.texts("SELECT name FROM sqlite_schema WHERE type = 'trigger'") {
            try application.run("DROP TRIGGER \"\(name)\"")
        }
        try put(value, row: row)
    }

    /// What a full look at the database, or at another one, finds.
    func examine(_ other: ControlStore? = nil, opensValues: Bool = true) async throws -> Examination {
        let examiner = DatabaseExaminer(
            cores: try CoreCatalogue([KR1.self]), providers: [try Name("local"): provider])
        return try await examiner.examine((other ?? control).engine, opensValues: opensValues)
    }

    /// Forgets a backup, as pruning does.
    func expire(backup id: Int64) async throws {
        try await control.write { session in
            try session.doom(backup: id)
            try session.forget(backup: id)
        }
    }
}
