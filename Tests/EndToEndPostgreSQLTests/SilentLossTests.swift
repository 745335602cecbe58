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
                let isNamed = output.standardError.contains("does not hold what was written")
                #expect(output.exitCode == 1 && isNamed, "\(output)")
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
            (
                "bytea", "convert_to('bytes ' || id, 'UTF8')",
                "id smallint, other text DEFAULT 'Ä', PRIMARY KEY (id, other)"
            ),
            ("jsonb", "to_jsonb('text ' || id)", "id integer PRIMARY KEY"),
            ("jsonb", #"('{"b":[1,  2.50],"a" : "' || id || '","a":"\u00e4\""}')::jsonb"#, "id integer PRIMARY KEY"),
            ("json", #"(' { "b" : [1,  2.50],"a" : "' || id || '\u00e4","a":null}')::json"#, "id integer PRIMARY KEY"),
            ("document", "jsonb_build_object('number', id)", "id integer PRIMARY KEY"),
        ])
        func everyKindOfColumnKeepsItsValues(type: String, value: String, key: String) async throws {
            try await withServerInstance { server in
                try await server.application.runAside(
                    """
                    CREATE DOMAIN sealed AS text CHECK (length(value) < 4000);
                    CREATE DOMAIN document AS jsonb;
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
                let text = type == "bytea" ? "convert_from(value, 'UTF8')" : "value::text"
                let before = try await server.values(#"SELECT id, \#(text) FROM "Odd.Name"."Secret""#)
                try await server.initialise()
                let column = #""Odd.Name"."Secret".value"#
                _ = try await server.sandbox.keyturn("adopt", column, "--yes").expecting()
                _ = try await server.sandbox.keyturn("rotate", "vault", "--yes").expecting()
                #expect(try await server.sandbox.keyturn("verify").exitCode == 0)
                for id in ["1", "150", "300"] {
                    let rest = key.contains("other") ? ["--key", "Ä"] : []
                    let opened = try await server.sandbox.start(
                        arguments: ["open", column, "--stored", "--key", id] + rest
                    ).wait()
                    #expect(opened.exitCode == 0 && opened.line == before[id], "\(opened)")
                }
            }
        }

        /// A sealed value in a column of documents is a string of JSON, however an application spells it.
        @Test(arguments: ["json", "jsonb"])
        func documentsAreSealedAsStringsAndFenced(type: String) async throws {
            try await withServerInstance { server in
                try await server.application.runAside(
                    """
                    CREATE TABLE secret (id integer PRIMARY KEY, value \(type));
                    INSERT INTO secret SELECT id, json_build_object('n', id)::\(type) FROM generate_series(1, 40) AS id;
                    INSERT INTO secret VALUES (41, 'null'), (42, '""'), (43, NULL)
                    """)
                try configure(server, column: "secret.value")
                try await server.initialise()
                let column = ["secret.value", "--key", "5"]
                _ = try await server.sandbox.keyturn("adopt", "secret.value", "--yes").expecting()
                let sealed = try await server.text(
                    "SELECT count(*) FROM secret WHERE value::text LIKE '\"kr1.%\"' AND id NOT IN (42, 43)")
                #expect(sealed == "41")
                for refused in ["'{}'", "'[1]'", "'\"plain\"'", "'null'"] {
                    #expect(throws: ApplicationError.self) {
                        try server.application.run("UPDATE secret SET value = \(refused) WHERE id = 5")
                    }
                }
                let other = try await server.sandbox.start(arguments: ["seal"] + column, input: #"{"n" : "new"}"#)
                    .wait()
                let value = try other.expecting().line
                #expect(value.hasPrefix("\"kr1."))
                // As another library might write it: spaces round it, and an escape for an innocent character.
                let spelt = "  " + value.replacing("kr1.", with: #"\u006br1."#) + "\n"
                try server.application.run("UPDATE secret SET value = '\(spelt)' WHERE id = 5")
                let opened = try await server.sandbox.start(arguments: ["open"] + column + ["--stored"]).wait()
                #expect(try opened.expecting().line == #"{"n" : "new"}"#)
                _ = try await server.sandbox.keyturn("rotate", "vault", "--yes").expecting()
                let again = try await server.sandbox.start(arguments: ["open"] + column + ["--stored"]).wait()
                #expect(try again.expecting().line == #"{"n" : "new"}"#)
                let report = try await server.sandbox.keyturn("verify", "-o", "json")
                #expect(report.exitCode == 0, "\(report)")
                #expect(throws: ApplicationError.self, "sealed under the key before") {
                    try server.application.run("UPDATE secret SET value = '\(value)' WHERE id = 6")
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
                    "seal", "secret.value", "--key", "5", input: "by the clerk"
                ).expecting().line
                for connection in [clerk, superuser] {
                    for refused in [
                        "UPDATE secret SET value = 'plain' WHERE id = 5", "INSERT INTO secret VALUES (999, 'plain')",
                    ] {
                        #expect(throws: ApplicationError.self) { try connection.run(refused) }
                    }
                    try connection.run("UPDATE secret SET value = '\(sealed)' WHERE id = 5")
                }
                let opened = try await server.sandbox.keyturn("open", "secret.value", "--key", "5", "--stored")
                    .expecting()
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
