internal import Foundation
internal import KeyModel
internal import Storage

/// A server of PostgreSQL and how programs reach it.
struct PostgreSQLServer: Sendable {
    let url: String
    let engine: any StorageEngine
    let seams: BackupSeams

    /// What the server says of itself.
    struct Facts: Sendable {
        let major: Int
        let database: String
        let databaseBytes: Int64
        let systemIdentifier: String
    }

    func facts() async throws -> Facts {
        try await engine.read { session in
            let rows = try session.query(
                """
                SELECT current_setting('server_version_num'), current_database()::text,
                    pg_database_size(current_database()), system_identifier::text FROM pg_control_system()
                """)
            guard let row = rows.first, let number = Int(try row.text(0)) else {
                throw BackupError(.storeUnavailable, "the server does not say its version")
            }
            return Facts(
                major: number / 10_000, database: try row.text(1), databaseBytes: try row.integer(2),
                systemIdentifier: try row.text(3))
        }
    }

    /// Where the write-ahead log stands.
    func position() async throws -> String? {
        try await engine.read { session in
            try session.query(
                """
                SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text
                """
            ).first.flatMap { try $0.optional(0, SQLRow.text) }
        }
    }

    /// The bytes of the whole cluster, and of its write-ahead log where the role may know.
    func clusterBytes() async throws -> (all: Int64, log: Int64?) {
        let all = try await engine.read { session in
            try session.query("SELECT sum(pg_database_size(oid))::bigint FROM pg_database").first?.integer(0) ?? 0
        }
        // Only superusers and members of pg_monitor may look there.
        let log = try? await engine.read { session in
            try session.query("SELECT sum(size)::bigint FROM pg_ls_waldir()").first?.integer(0)
        }
        return (all, log ?? nil)
    }

    /// The variables by which a program reaches the server.
    func environment() throws -> [String: String] {
        let inherited = seams.environment.filter { $0.key.hasPrefix("PG") || $0.key == "HOME" }
        return inherited.merging(try seams.reach(url)) { $1 }
    }
}
