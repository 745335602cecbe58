import Backups
import ControlStore
import Foundation
import KeyModel
import PluginKit
import Rotation
import Storage
import StorageSQLite
import Testing
import ToolTesting

/// Random orders of everything that people, jobs and accidents do, held against a model of who needs which key.
struct DestructionWalkTests {
    @Test(arguments: [1, 2, 3] as [UInt64])
    func noOrderOfCallsDestroysWhatIsNeeded(seed: UInt64) async throws {
        try await walk(seed, hasRealBackups: false)
    }

    /// The same with backups that are really made, proved, pruned and restored.
    @Test(arguments: [4, 5] as [UInt64])
    func noOrderOfCallsDestroysWhatARealBackupNeeds(seed: UInt64) async throws {
        try await walk(seed, hasRealBackups: true)
    }

    private func walk(_ seed: UInt64, hasRealBackups: Bool) async throws {
        var walk = try await Walk(seed: seed, hasRealBackups: hasRealBackups)
        for step in 1...40 { try await walk.step(step) }
        try await walk.settle()
        print("walk: SQLite, \(hasRealBackups ? "real" : "listed") backups, seed \(seed): \(walk.needs.summary)")
        #expect(walk.needs.refused > 0, "seed \(seed): no destruction was ever refused")
        #expect(walk.needs.permitted > 0, "seed \(seed): nothing could be destroyed in the end either")
    }
}

private struct Walk {
    private static let rows = 4

    let seed: UInt64
    let bench: Bench
    private let declared: BackupDeclaration
    /// What makes backups; nil where they are only listed.
    private let service: BackupService?
    private(set) var needs = KeyNeeds()
    private var random: SeededGenerator
    /// Stored texts to fall back to.
    private var old: [(row: Int, key: String, text: String)] = []
    private var asked: [Int64] = []

    init(seed: UInt64, hasRealBackups: Bool) async throws {
        self.seed = seed
        random = SeededGenerator(seed: seed)
        bench = try await Bench.adopted(rows: Self.rows)
        declared = BackupDeclaration(
            directory: bench.path("backups"), keep: 2, externalRetention: .zero, destructionDelay: .seconds(100))
        service = hasRealBackups ? try bench.backups(declared) : nil
        let active = try await bench.active().description
        for row in 1...Self.rows { needs.rows[row] = active }
    }

    mutating func step(_ number: Int) async throws {
        switch Int.random(in: 0..<13, using: &random) {
        case 0, 1: try await rotate(.routine)
        case 2: try await rotate(.emergency)
        case 3: try await fallBack()
        case 4, 5: try await backUp()
        case 6: try await expire()
        case 7, 8: try await ask()
        case 9: try await callOff()
        case 10: bench.clock.advance(by: .seconds(70))
        default: try await destroy()
        }
        try await check("seed \(seed), step \(number)")
    }

    /// Clears what stands in the way of the oldest keys, after which they must go.
    mutating func settle() async throws {
        try await rotate(.routine)
        try await clearBackups()
        asked = []
        for record in try await bench.engine().destructions(backup: declared) where record.state == "waiting" {
            _ = try await bench.engine().cancelDestruction(record.id)
        }
        for version in try await bench.ring().versions where version.retiredAt != nil && version.state != .destroyed {
            try await ask([version.id])
        }
        bench.clock.advance(by: .seconds(200))
        while let last = asked.last {
            try await destroy(last)
            asked.removeAll { $0 == last }
        }
        try await check("seed \(seed), in the end")
    }

    private mutating func clearBackups() async throws {
        guard let service else {
            for id in needs.backups.keys.sorted() { try await bench.expire(backup: id) }
            needs.backups = [:]
            return
        }
        let former = needs.backups.keys.sorted()
        for _ in 1...2 { try await backUp(.restored) }
        for id in former {
            _ = try await service.remove(id)
            needs.backups[id] = nil
        }
    }

    private mutating func rotate(_ urgency: RunUrgency) async throws {
        for (row, key) in needs.rows.sorted(by: { $0.key < $1.key }) { old.append((row, key, try bench.stored(row))) }
        let run = try await bench.run(.rotate, urgency: urgency)
        #expect(run.state == .done, "seed \(seed): \(run.message ?? "")")
        let active = try await bench.active().description
        for row in needs.rows.keys { needs.rows[row] = active }
    }

    /// An application, a replica or a restore writes back what it once read.
    @discardableResult
    private mutating func fallBack() async throws -> Int? {
        // What lies under a key that is gone is ciphertext nobody opens, whoever writes it.
        let gone = needs.gone
        guard let one = old.filter({ !gone.contains($0.key) }).randomElement(using: &random) else { return nil }
        try bench.putPastTheFence(one.text, row: one.row)
        needs.rows[one.row] = one.key
        return one.row
    }

    private mutating func backUp(_ wanted: BackupLevel? = nil) async throws {
        let keys = Set(needs.rows.values)
        guard let service else {
            let found = try await bench.examine()
            #expect(Set(found.usage.keys) == keys, "seed \(seed): the scan differs from the model")
            let id = try await bench.list(
                needing: found.usage.keys.compactMap { KeyID(hex: $0) },
                holding: found.wrappedKeys.compactMap { KeyID(hex: $0) })
            needs.backups[id] = keys
            return
        }
        let level = wanted ?? [.format, .checksums, .restored].randomElement(using: &random) ?? .format
        let entry = try await service.create(CreateRequest(verify: level, mayShrink: true))
        #expect(
            level == .format ? keys.isSubset(of: entry.keys) : keys == Set(entry.keys),
            "seed \(seed): backup \(entry.id) lists other keys than its values lie under")
        needs.backups[entry.id] = keys
    }

    private mutating func expire() async throws {
        guard let id = needs.backups.keys.sorted().randomElement(using: &random) else { return }
        guard let service else {
            try await bench.expire(backup: id)
            needs.backups[id] = nil
            return
        }
        if Bool.random(using: &random) {
            for gone in try await service.prune().removed { needs.backups[gone] = nil }
        } else {
            do {
                _ = try await service.remove(id)
                needs.backups[id] = nil
            } catch let error as BackupError where error.code == .callerPolicyForbids {}
        }
    }

    private mutating func ask() async throws {
        let keys = try await bench.ring().versions.filter { $0.state != .destroyed }.map(\.id)
        try await ask([keys.randomElement(using: &random)].compactMap { $0 })
    }

    private mutating func ask(_ keys: [KeyID]) async throws {
        let request = RotationEngine.DestructionRequest(
            keyring: .main, keys: keys, reason: "walk", backup: declared)
        do {
            let entry = try await bench.engine().requestDestruction(request)
            if entry.state == "waiting" { asked.append(entry.id) } else { needs.refuse() }
        } catch let error as RotationError where error.code == .callerPolicyForbids { needs.refuse() }
    }

    private mutating func callOff() async throws {
        guard let id = asked.randomElement(using: &random), Bool.random(using: &random) else { return }
        _ = try await bench.engine().cancelDestruction(id)
        asked.removeAll { $0 == id }
    }

    private mutating func destroy() async throws {
        guard let id = asked.randomElement(using: &random) else { return }
        try await destroy(id)
    }

    private mutating func destroy(_ id: Int64) async throws {
        if Bool.random(using: &random) { _ = try await bench.engine(actor: "second").approveDestruction(id) }
        let isDisturbed = Int.random(in: 0..<3, using: &random) == 0
        do {
            let engine = try await bench.engine()
            let entry = try await engine.destroy(
                id, backup: declared,
                withoutBackups: { erase in
                    // After the values were read, before anything is erased.
                    if isDisturbed { try await disturb() }
                    guard let service else { return try await erase() }
                    try await service.holdingFolder { try await erase() }
                })
            asked.removeAll { $0 == id }
            for complaint in needs.permit(entry.keys) { Issue.record("seed \(seed): \(complaint)") }
            try await restoreEach()
        } catch let error as RotationError where error.code == .callerPolicyForbids { needs.refuse() }
    }

    /// A value falls back, a backup is made of it, and the value is put right again: only the backup needs its key.
    private mutating func disturb() async throws {
        let before = needs.rows
        let texts = try Dictionary(uniqueKeysWithValues: (1...Self.rows).map { ($0, try bench.stored($0)) })
        guard let row = try await fallBack(), let text = texts[row] else { return }
        try await backUp()
        try bench.putPastTheFence(text, row: row)
        needs.rows = before
    }

    /// Whatever was destroyed: each backup that is there restores, and all of it opens once the database is accepted.
    private func restoreEach() async throws {
        guard let service else { return }
        for (id, keys) in needs.backups.sorted(by: { $0.key < $1.key }) {
            let path = bench.path("restored-\(UUID().uuidString).db")
            _ = try await service.restore(id, to: path)
            let control = ControlStore(engine: try SQLiteEngine(path: path))
            let journal = try NodeJournal(creating: path + ".journal", with: await bench.remembered())
            _ = try await bench.engine(remembering: journal, on: control).recover()
            let found = try await bench.examine(control)
            #expect(
                found.unopenable == 0 && Set(found.usage.keys) == keys,
                "seed \(seed): backup \(id) does not open any more: \(found)")
            await control.engine.close()
        }
    }

    /// Every row opens, and exactly the keys are gone that the model says.
    private func check(_ place: String) async throws {
        // As a run opens them, since a compromised key opens for nobody else once a run has retired it.
        let found = try await bench.examine()
        let model = Dictionary(grouping: needs.rows.values, by: \.self).mapValues { Int64($0.count) }
        #expect(found.usage == model && found.unopenable == 0, "\(place): \(found)")
        let versions = try await bench.ring().versions.filter { $0.state == .destroyed }.map(\.id)
        #expect(Set(versions.map(\.description)) == needs.gone, "\(place)")
        for key in versions { #expect(try await bench.control.read { try $0.wraps(of: key) }.isEmpty, "\(place)") }
    }
}
