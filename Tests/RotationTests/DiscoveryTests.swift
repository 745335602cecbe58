internal import ControlStore
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Testing

/// Ciphertext that nobody declared.
struct DiscoveryTests {
    @Test(arguments: ["kr1", "fernet"])
    func findsOurValuesInColumnsThatNobodyDeclared(core: String) async throws {
        let bench = try await Bench.adopted(rows: 5, core: core)
        let key = try await bench.active()
        let clean = try #require(try await bench.engine().discover(keysOf: nil))
        #expect(clean.findings.isEmpty && clean.unreadable.isEmpty && !clean.holdsOurs)
        try bench.application.run(
            """
            CREATE TABLE history (at TEXT, what TEXT, PRIMARY KEY (at)) WITHOUT ROWID;
            INSERT INTO history SELECT id, value FROM secret WHERE id > 2;
            INSERT INTO history VALUES ('x', 'plain'), ('y', NULL);
            UPDATE secret SET note = 'vault:v1:abc' WHERE id = 1;
            CREATE TABLE heap (what TEXT)
            """)
        let found = try #require(try await bench.engine().discover(keysOf: .main))
        let history = try #require(found.findings.first { $0.column == "history.what" })
        #expect(history.shapes == [core: 3] && history.keys == [key.description: 3] && history.isWhole)
        #expect(history.firstRow == "\"3\"")
        let note = try #require(found.findings.first { $0.column == "secret.note" })
        #expect(note.shapes == ["vaultTransit": 1] && note.keys.isEmpty)
        #expect(found.findings.count == 2 && found.unreadable == ["heap"] && found.holdsOurs)
    }

    @Test(arguments: ["kr1", "fernet"])
    func whatNobodyDeclaredKeepsItsKeyFromRetiring(core: String) async throws {
        let bench = try await Bench.adopted(rows: 3, core: core)
        let old = try await bench.active()
        try bench.application.run("UPDATE secret SET note = value WHERE id = 2")
        let run = try await bench.run(.rotate)
        #expect(run.state == .done)
        #expect(try await bench.ring()[old]?.retiredAt == nil)
        let steps = try await bench.engine().runHistory(run.id).steps.map(\.what)
        #expect(steps.contains { $0.contains("no key retired") && $0.contains("secret.note") })
        try bench.application.run("UPDATE secret SET note = NULL")
        #expect(try await bench.run(.rotate).state == .done)
        #expect(try await bench.ring()[old]?.retiredAt != nil)
    }

    @Test(arguments: ["kr1", "fernet"])
    func findsOurValuesInsideOfOthersAndUnderAnyType(core: String) async throws {
        let bench = try await Bench.adopted(rows: 3, core: core)
        let key = try await bench.active()
        try bench.application.run(
            """
            CREATE TABLE odd (id INTEGER PRIMARY KEY, number INTEGER, document TEXT, spaced TEXT, listed BLOB, free);
            INSERT INTO odd (id, number) SELECT id, value FROM secret;
            UPDATE odd SET document = '{"a":1,"password":"' || number || '","b":"kr1.ffffffff.x gAAAAA"}',
                spaced = ' ' || number, listed = CAST('{' || number || ',' || number || '}' AS BLOB), free = 12
            """)
        let found = try #require(try await bench.engine().discover(keysOf: .main))
        #expect(Set(found.findings.map(\.column)) == ["odd.number", "odd.document", "odd.spaced", "odd.listed"])
        for finding in found.findings {
            let times: Int64 = finding.column == "odd.listed" ? 6 : 3
            #expect(finding.keys == [key.description: times], "\(finding)")
        }
        #expect(found.findings.contains { $0.shapes.keys.contains { $0.hasSuffix("inside of other text") } })
        try bench.application.run("UPDATE odd SET number = NULL, spaced = NULL, listed = NULL")
        #expect(try await bench.run(.rotate).state == .done)
        #expect(try await bench.ring()[key]?.retiredAt == nil)
    }

    @Test func aDiscoveryThatIsInterruptedFindsNothingOut() async throws {
        let bench = try await Bench.adopted(rows: 2)
        let interrupt = Interrupt()
        interrupt.set()
        #expect(try await bench.engine().discover(keysOf: nil, interrupt: interrupt) == nil)
    }
}
