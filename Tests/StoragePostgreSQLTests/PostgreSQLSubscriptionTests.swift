import PostgreSQLTesting
import Storage
import StoragePostgreSQL
import Testing

/// Tables that a subscription of logical replication writes to.
@Suite(.enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
struct PostgreSQLSubscriptionTests {
    private static let tables = """
        CREATE TABLE t (id int PRIMARY KEY, c text); CREATE TABLE u (id int PRIMARY KEY, c text);
        CREATE TABLE parts (id int PRIMARY KEY, c text) PARTITION BY RANGE (id);
        CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (10);
        CREATE TABLE high PARTITION OF parts FOR VALUES FROM (10) TO (20);
        """

    @Test
    func theyAreNamedToEveryRoleWithTheirPartsAndWhatTheyArePartsOf() async throws {
        let cluster = try PostgreSQLCluster(settings: ["wal_level = logical"])
        defer { cluster.dispose() }
        try await withScratchPostgreSQL(in: cluster) { database, _ in
            try await subscribe(database)
            try database.application.run(
                "CREATE ROLE clerk LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk")
            for user in ["postgres", "clerk"] {
                let engine = try await PostgreSQLEngine(url: database.url(user: user))
                let found = try await engine.read { session in
                    try ["t", "u", "parts", "low", "high"].map { name in
                        try session.describe(TableName(name: name)).map { ($0.subscriptions, $0.triggers) }
                    }
                }
                await engine.close()
                #expect(found.map { $0?.0 } == [["upstream"], [], ["upstream"], ["upstream"], []], "\(user)")
                #expect(found.allSatisfy { $0?.1.isEmpty == true }, "a subscription fires nothing of its own")
            }
        }
    }

    /// Has tables of another database of the cluster replicated into this one.
    private func subscribe(_ database: ScratchPostgreSQL) async throws {
        let name = database.name + "_source"
        try await database.application.runAside("CREATE DATABASE \(name)")
        let publisher = try ApplicationConnection(database.cluster.url(database: name))
        try publisher.run(Self.tables)
        try publisher.run("CREATE PUBLICATION several FOR TABLE t, low")
        try publisher.run("SELECT pg_create_logical_replication_slot('upstream', 'pgoutput')")
        try database.application.run(Self.tables)
        try await database.application.runAside(
            """
            CREATE SUBSCRIPTION upstream CONNECTION 'host=\(database.cluster.directory) dbname=\(name) user=postgres'
            PUBLICATION several WITH (create_slot = false, slot_name = 'upstream', copy_data = false)
            """)
    }
}
