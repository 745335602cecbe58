import Foundation
import PostgreSQLTesting
import Testing
import ToolTesting

extension BackupRuns {
    /// Random orders of commands on a real server with real dumps, held against a model of who needs which key.
    @Suite(.enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
    struct PostgreSQLDestructionWalks {
        @Test(arguments: [1] as [UInt64])
        func noOrderOfCommandsDestroysWhatIsNeeded(seed: UInt64) async throws {
            try await withStore(rows: 4, more: ", keep = 2, destruction_delay = \"1s\"") { store in
                try await store.adopt()
                var walk = ServerWalk(seed: seed, store: store)
                for step in 1...24 { try await walk.step(step) }
                try await walk.settle()
                print("walk: PostgreSQL, real backups, seed \(seed): \(walk.needs.summary)")
                #expect(walk.needs.refused > 0, "seed \(seed): no destruction was ever refused")
                #expect(walk.needs.permitted > 0, "seed \(seed): nothing could be destroyed in the end either")
            }
        }
    }
}

private struct ServerWalk {
    let seed: UInt64
    let store: Store
    private(set) var needs = KeyNeeds()
    private var random: SeededGenerator
    /// Stored texts to fall back to.
    private var old: [(row: Int, key: String, text: String)] = []
    private var asked: [Int] = []

    init(seed: UInt64, store: Store) {
        self.seed = seed
        self.store = store
        random = SeededGenerator(seed: seed)
    }

    mutating func step(_ number: Int) async throws {
        switch Int.random(in: 0..<12, using: &random) {
        case 0, 1: try await rotate()
        case 2: try await rotate("--emergency")
        case 3: try await fallBack()
        case 4, 5: try await backUp()
        case 6: try await expire()
        case 7, 8: try await ask()
        case 9: try await callOff()
        default: try await destroy()
        }
        try await check("seed \(seed), step \(number)")
    }

    /// Clears what stands in the way of the oldest keys, after which they must go.
    mutating func settle() async throws {
        try await rotate()
        let former = needs.backups.keys.sorted()
        for _ in 1...2 { try await backUp("restore") }
        for id in former { _ = try await store.sandbox.keyturn("backup", "remove", "\(id)", "--yes").expecting() }
        needs.backups = needs.backups.filter { !former.contains($0.key) }
        for id in asked { _ = try await store.sandbox.keyturn("keyring", "spare", "\(id)").expecting() }
        asked = []
        for version in try await versions() where version.retired && version.state != "destroyed" {
            try await ask(version.id)
        }
        while let last = asked.last {
            try await destroy(last)
            asked.removeAll { $0 == last }
        }
        try await check("seed \(seed), in the end")
    }

    private mutating func rotate(_ more: String...) async throws {
        try await look()
        for (row, text) in try await stored() { old.append((row, Self.key(of: text), text)) }
        _ = try await store.sandbox.start(arguments: ["rotate", "main", "--yes"] + more).wait().expecting()
        try await look()
    }

    /// An application, a replica or a restore writes back what it once read, past the fence.
    private mutating func fallBack() async throws {
        let gone = needs.gone
        guard let one = old.filter({ !gone.contains($0.key) }).randomElement(using: &random) else { return }
        try await store.database.application.runAside(
            """
            DO $$ DECLARE name text; BEGIN
            FOR name IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'secret'::regclass AND NOT tgisinternal LOOP
                EXECUTE format('ALTER TABLE secret DISABLE TRIGGER %I', name);
            END LOOP;
            UPDATE secret SET value = '\(one.text)' WHERE id = \(one.row);
            FOR name IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'secret'::regclass AND NOT tgisinternal LOOP
                EXECUTE format('ALTER TABLE secret ENABLE ALWAYS TRIGGER %I', name);
            END LOOP; END $$
            """)
        try await look()
    }

    private mutating func backUp(_ wanted: String? = nil) async throws {
        try await look()
        let keys = Set(needs.rows.values)
        let level = wanted ?? (Int.random(in: 0..<4, using: &random) == 0 ? "restore" : "checksums")
        let entry = try await store.backUp("--verify", level, "--may-shrink")
        let listed = Set(entry.keys.array.compactMap(\.string))
        #expect(
            level == "restore" ? listed == keys : keys.isSubset(of: listed),
            "seed \(seed): a backup lists other keys than its values lie under: \(entry.keys.array)")
        needs.backups[Int64(try #require(entry.id.integer))] = keys
    }

    private mutating func expire() async throws {
        guard let id = needs.backups.keys.sorted().randomElement(using: &random) else { return }
        if Bool.random(using: &random) {
            _ = try await store.prune()
        } else {
            let code = try await store.code("backup", "remove", "\(id)", "--yes")
            #expect([nil, "callerPolicyForbids"].contains(code))
        }
        let left = Set(try await store.list().compactMap(\.id.integer).map(Int64.init))
        needs.backups = needs.backups.filter { left.contains($0.key) }
    }

    private mutating func ask() async throws {
        let keys = try await versions().filter { $0.state != "destroyed" }.map(\.id)
        if let key = keys.randomElement(using: &random) { try await ask(key) }
    }

    private mutating func ask(_ key: String) async throws {
        let output = try await store.sandbox.keyturn(
            "keyring", "destroy", "main", "--key", key, "--reason", "walk", "-o", "json")
        if output.exitCode == 0, let id = output.json.result.id.integer {
            asked.append(id)
        } else {
            #expect(output.exitCode == 3, "seed \(seed): \(output)")
            needs.refuse()
        }
    }

    private mutating func callOff() async throws {
        guard let id = asked.randomElement(using: &random) else { return }
        _ = try await store.sandbox.keyturn("keyring", "spare", "\(id)").expecting()
        asked.removeAll { $0 == id }
    }

    private mutating func destroy() async throws {
        guard let id = asked.randomElement(using: &random) else { return }
        try await destroy(id)
    }

    private mutating func destroy(_ id: Int) async throws {
        // The delay that is declared.
        try await Task.sleep(for: .seconds(1))
        let output = try await store.sandbox.keyturn("keyring", "erase", "\(id)", "--yes", "-o", "json")
        guard output.exitCode == 0 else {
            #expect(output.json.error.code.string == "callerPolicyForbids", "seed \(seed): \(output)")
            return needs.refuse()
        }
        asked.removeAll { $0 == id }
        let keys = output.json.result.keys.array.compactMap(\.string)
        for complaint in needs.permit(keys) { Issue.record("seed \(seed): \(complaint)") }
    }

    /// Reads from the rows themselves which key each lies under.
    private mutating func look() async throws {
        for (row, text) in try await stored() { needs.rows[row] = Self.key(of: text) }
    }

    /// Every row opens, and exactly the keys are gone that the model says.
    private mutating func check(_ place: String) async throws {
        try await look()
        let output = try await store.sandbox.keyturn("verify", "-o", "json")
        let column = output.json.result.keyrings[0].columns[0]
        #expect(column.rows.integer == 4 && column.unopenable.integer == 0, "\(place): \(output)")
        let gone = try await versions().filter { $0.state == "destroyed" }.map(\.id)
        #expect(Set(gone) == needs.gone, "\(place)")
        let wraps = try await store.database.application.runAside("SELECT DISTINCT key_id FROM keyturn.wraps")
        #expect(wraps.count == (try await versions().count) - gone.count, "\(place)")
    }

    private func versions() async throws -> [(id: String, state: String, retired: Bool)] {
        let ring = try await store.sandbox.keyturn("keyring", "show", "main", "-o", "json").expecting().json.result
        return ring.versions.array.compactMap { version in
            guard let id = version.id.string, let state = version.state.string else { return nil }
            return (id, state, version.retiredAt.string != nil)
        }
    }

    private func stored() async throws -> [(row: Int, text: String)] {
        try await store.database.application.runAside("SELECT id, value FROM secret ORDER BY id").compactMap { row in
            guard let id = row[0].flatMap({ Int($0) }), let text = row[1] else { return nil }
            return (id, text)
        }
    }

    /// The key that stands in the head of a value: `kr1.`, then eight hexadecimal digits.
    private static func key(of text: String) -> String { String(text.dropFirst(4).prefix(8)) }
}
