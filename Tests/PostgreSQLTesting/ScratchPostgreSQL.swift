import Foundation
package import Storage
package import StoragePostgreSQL
package import StorageTesting

/// A database of its own in a cluster, with citext in it.
package struct ScratchPostgreSQL: ConformanceDatabase {
    /// The cluster.
    package let cluster: PostgreSQLCluster
    /// The name of the database.
    package let name: String
    /// A connection that Keyturn has not touched.
    package let application: ApplicationConnection

    /// Makes a database.
    ///
    /// - Throws: ``ClusterFailure`` or ``ApplicationError``.
    package init(in cluster: PostgreSQLCluster? = nil) async throws {
        let cluster = if let cluster { cluster } else { try await PostgreSQLCluster.shared() }
        self.cluster = cluster
        await Places.databases.take()
        name = "keyturn_\(UUID().uuidString.lowercased().prefix(13).filter { $0 != "-" })"
        do {
            let maintenance = try ApplicationConnection(cluster.url(database: "postgres"))
            try await maintenance.runAside("CREATE DATABASE \(name) STRATEGY file_copy")
            application = try ApplicationConnection(cluster.url(database: name))
            try application.run("CREATE EXTENSION citext")
        } catch {
            await Places.databases.giveBack()
            throw error
        }
    }

    /// The connection string of a role, first of all the superuser.
    package func url(user: String = "postgres") -> String { cluster.url(database: name, user: user) }

    /// How PostgreSQL writes what SQL leaves open.
    package var dialect: ConformanceDialect { .postgresql }

    /// Opens an engine that waits for locks as long as a busy test machine may take.
    package func openEngine() async throws -> any StorageEngine {
        try await PostgreSQLEngine(url: url(), batchLockTimeout: .seconds(10))
    }

    /// Runs statements as the application would.
    package func runAsApplication(_ sql: String) async throws { try await application.runAside(sql) }

    /// Throws the database away, whoever is still connected.
    package func dispose() async {
        let maintenance = try? ApplicationConnection(cluster.url(database: "postgres"))
        _ = try? await maintenance?.runAside("DROP DATABASE \(name) WITH (FORCE)")
        await Places.databases.giveBack()
    }
}

extension ConformanceDialect {
    /// PostgreSQL, whose text takes what its encoding does.
    package static let postgresql = ConformanceDialect(
        textType: "TEXT", foldedTextType: "citext", blobType: "bytea", uuidType: "uuid", storesAnyBytesAsText: false,
        textLiteral: { "convert_from('\\x\(hex($0))', 'UTF8')" }, blobLiteral: { "'\\x\(hex($0))'" },
        alteringTrigger: { table, column in
            """
            CREATE FUNCTION altering() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.\(column) := NEW.\(column) || '!'; RETURN NEW; END $$;
            CREATE TRIGGER altering BEFORE UPDATE ON \(table) FOR EACH ROW EXECUTE FUNCTION altering()
            """
        },
        refusingTrigger: { table, message in
            """
            CREATE FUNCTION refusing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE '\(message)'; END $$;
            CREATE TRIGGER refusing BEFORE UPDATE ON \(table) FOR EACH ROW EXECUTE FUNCTION refusing()
            """
        })

    private static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

/// Runs `body` with a database and an engine on it, and throws both away.
package func withScratchPostgreSQL(
    in cluster: PostgreSQLCluster? = nil, _ body: (ScratchPostgreSQL, PostgreSQLEngine) async throws -> Void
) async throws {
    let database = try await ScratchPostgreSQL(in: cluster)
    let result: Result<Void, any Error>
    do {
        let engine = try await PostgreSQLEngine(url: database.url())
        do {
            try await body(database, engine)
            result = .success(())
        } catch { result = .failure(error) }
        await engine.close()
    } catch { result = .failure(error) }
    await database.dispose()
    try result.get()
}
