import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension EndToEndPostgreSQL {
    /// What makes other tools lose data without a word.
    @Suite struct SilentLossTests {
        /// A policy hides rows from the role that Keyturn connects as: it refuses instead of rotating what it sees.
        @Test func rowsThatAPolicyHidesStopTheRun() async throws {
            try await withServerInstance { server in
                let vault = try await ServerVault.made(rows: 50, on: server)
                let role = "tenant_\(server.database.name)"
                try await server.application.runAside(
                    """
                    CREATE ROLE \(role) LOGIN; GRANT ALL ON SCHEMA keyturn, public TO \(role);
                    GRANT ALL ON ALL TABLES IN SCHEMA keyturn, public TO \(role);
                    ALTER TABLE secret ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON secret USING (id <= 25)
                    """)
                let before = try await vault.stored()
                try configure(server, column: "secret.value", user: role)
                let output = try await server.sandbox.keyturn("rotate", "vault", "--yes")
                #expect(output.exitCode != 0 && output.standardError.contains("row-level security"), "\(output)")
                #expect(try await vault.stored() == before)
                let verified = try await server.sandbox.keyturn("verify")
                #expect(verified.exitCode != 0, "\(verified)")
                try configure(server, column: "secret.value")
                try await vault.finish("as the owner again")
                if try await server.text("SELECT max(id) FROM keyturn.runs WHERE state = 'done'") == "1" {
                    _ = try await server.sandbox.keyturn("rotate", "vault", "--yes").expecting()
                    try await vault.expectFinished("as the owner again")
                }
                try await server.application.runAside("DROP OWNED BY \(role); DROP ROLE \(role)")
            }
        }

        /// A trigger that changes what is written: the run stops and nothing of the batch stays.
        @Test func aTriggerThatAltersValuesStopsTheRun() async throws {
            try await withServerInstance { server in
                let vault = try await ServerVault.made(rows: 60, on: server)
                try await server.application.runAside(
                    """
                    CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN IF NEW.id % 7 = 0 THEN NEW.value := NEW.value || 'A'; END IF; RETURN NEW; END $$;
                    CREATE TRIGGER shout BEFORE UPDATE ON secret FOR EACH ROW EXECUTE FUNCTION shout()
                    """)
                let output = try await server.sandbox.keyturn("rotate", "vault", "--yes")
                #expect(output.exitCode == 1 && output.standardError.contains("does not hold what was written"), "\(output)")
                try await vault.expectNothingLost("altered")
                try await server.application.runAside("DROP TRIGGER shout ON secret")
                try await vault.finish("without the trigger")
            }
        }

        /// Columns whose `=` sees two values as one, whose type refuses or respells what is written, and odd keys.
        @Test(arguments: [
            ("citext", "'Text ' || id", "id integer PRIMARY KEY"),
            ("sealed", "'text ' || id", "id bigint PRIMARY KEY"),
            ("varchar(400)", "'text ' || id", "id varchar(20) PRIMARY KEY"),
            ("bytea", "convert_to('bytes ' || id, 'UTF8')", "id smallint, other text DEFAULT 'Ä', PRIMARY KEY (id, other)"),
            ("jsonb", "to_jsonb('text ' || id)", "id integer PRIMARY KEY"),
            ("json", "to_json('text ' || id)", "id integer PRIMARY KEY"),
        ])
        func everyKindOfColumnKeepsItsValues(type: String, value: String, key: String) async throws {
            try await withServerInstance { server in
                try await server.application.runAside(
                    """
                    CREATE DOMAIN sealed AS text CHECK (length(value) < 4000);
                    CREATE SCHEMA "Odd.Name";
                    CREATE TABLE "Odd.Name"."Secret" (value \(type), \(key));
                    INSERT INTO "Odd.Name"."Secret" (value, id) SELECT \(value), id FROM generate_series(1, 300) AS id
                    """)
                let keys = key.contains("other") ? #"{ "id", "other" }"# : #""id""#
                try server.configure(
                    """
                    keyring "vault" { core = "kr1" }
                    column '"Odd.Name"."Secret".value' { keyring = "vault", key = \(keys) }
                    """)
                let text = type == "bytea" ? "convert_from(value, 'UTF8')" : type.hasPrefix("json") ? "value #>> '{}'" : "value"
                let before = try await server.values(#"SELECT id, \#(text) FROM "Odd.Name"."Secret""#)
                try await server.initialise()
                let column = #""Odd.Name"."Secret".value"#
                let adopted = try await server.sandbox.keyturn("adopt", column, "--yes")
                guard adopted.exitCode == 0 else {
                    // Refusing is no loss; nothing may have changed then.
                    print("\(type): refused: \(adopted.standardError)")
                    #expect(type.hasPrefix("json"), "\(adopted)")
                    #expect(try await server.values(#"SELECT id, \#(text) FROM "Odd.Name"."Secret""#) == before)
                    return
                }
                _ = try await server.sandbox.keyturn("rotate", "vault", "--yes").expecting()
                #expect(try await server.sandbox.keyturn("verify").exitCode == 0)
                for id in ["1", "150", "300"] {
                    let row = ["open", column, "--stored", "--key", id] + (key.contains("other") ? ["--key", "Ä"] : [])
                    let opened = try await server.sandbox.start(arguments: row).wait()
                    let expected = type.hasPrefix("json") ? "\"\(before[id] ?? "")\"" : before[id]
                    #expect(opened.exitCode == 0 && [expected, before[id]].contains(opened.line), "\(opened)")
                }
            }
        }

        /// A fence holds for replicated sessions and for roles that know nothing of Keyturn, and lets legal values pass.
        @Test func theFenceHoldsForEveryRoleAndReplicationRole() async throws {
            try await withServerInstance { server in
                let vault = try await ServerVault.made(rows: 20, on: server)
                let role = "clerk_\(server.database.name)"
                try await server.application.runAside(
                    "CREATE ROLE \(role) LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON secret TO \(role)")
                let clerk = try server.connect(user: role)
                let superuser = try server.connect()
                try superuser.run("SET session_replication_role = replica")
                let sealed = try await server.sandbox.keyturn(
                    "seal", "secret.value", "--key", "5", input: "by the clerk").expecting().line
                for connection in [clerk, superuser] {
                    #expect(throws: ApplicationError.self) { try connection.run("UPDATE secret SET value = 'plain' WHERE id = 5") }
                    #expect(throws: ApplicationError.self) { try connection.run("INSERT INTO secret VALUES (999, 'plain')") }
                    try connection.run("UPDATE secret SET value = '\(sealed)' WHERE id = 5")
                }
                let opened = try await server.sandbox.keyturn("open", "secret.value", "--key", "5", "--stored").expecting()
                #expect(opened.line == "by the clerk")
                #expect(throws: ApplicationError.self) { try clerk.run("SELECT * FROM keyturn.wraps") }
                #expect(try await vault.stored().count == 20)
                try await server.application.runAside("DROP OWNED BY \(role); DROP ROLE \(role)")
            }
        }

        private func configure(_ server: ServerInstance, column: String, user: String = "postgres") throws {
            try server.configure(
                """
                keyring "vault" { core = "kr1" }
                column "\(column)" { keyring = "vault", key = "id", context = "row" }
                """, user: user)
        }
    }
}
