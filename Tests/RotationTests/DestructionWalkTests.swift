import ControlStore
import Foundation
import KeyModel
import PluginKit
import Rotation
import Testing
import ToolTesting

/// Random orders of everything that people, jobs and accidents do, held against a model of who needs which key.
struct DestructionWalkTests {
    @Test(arguments: [1, 2, 3] as [UInt64])
    func noOrderOfCallsDestroysWhatIsNeeded(seed: UInt64) async throws {
        var walk = try await Walk(seed: seed)
        for step in 1...40 { try await walk.step(step) }
        #expect(walk.destroyed + walk.prevented > 0, "seed \(seed): no destruction was ever tried")
        try await walk.settle()
        #expect(walk.destroyed > 0, "seed \(seed): nothing could be destroyed in the end either")
    }
}

private struct Walk {
    private static let rows = 4
    private static let declared = BackupDeclaration(
        directory: "/nowhere", externalRetention: .zero, destructionDelay: .seconds(100))

    let seed: UInt64
    let bench: Bench
    private(set) var destroyed = 0
    private(set) var prevented = 0
    private var random: SeededGenerator
    /// The model: the key of each row's value, the keys that each backup's values lie under, stored texts to fall back to.
    private var rowKeys: [Int: KeyID] = [:]
    private var backups: [Int64: Set<KeyID>] = [:]
    private var old: [(row: Int, key: KeyID, text: String)] = []
    private var gone: Set<KeyID> = []
    private var asked: [Int64] = []

    init(seed: UInt64) async throws {
        self.seed = seed
        random = SeededGenerator(seed: seed)
        bench = try await Bench.adopted(rows: Self.rows)
        let active = try await bench.active()
        for row in 1...Self.rows { rowKeys[row] = active }
    }

    mutating func step(_ number: Int) async throws {
        switch Int.random(in: 0..<12, using: &random) {
        case 0, 1: try await rotate(.routine)
        case 2: try await rotate(.emergency)
        case 3: try await fallBack()
        case 4: try await backUp()
        case 5: try await expire()
        case 6, 7: try await ask()
        case 8: try await callOff()
        case 9: bench.clock.advance(by: .seconds(70))
        default: try await destroy()
        }
        try await check("seed \(seed), step \(number)")
    }

    /// Clears what stands in the way of the oldest keys, after which they must go.
    mutating func settle() async throws {
        try await rotate(.routine)
        for id in backups.keys.sorted() { try await bench.expire(backup: id) }
        backups = [:]
        asked = []
        for record in try await bench.engine().destructions(backup: Self.declared) where record.state == "waiting" {
            _ = try await bench.engine().cancelDestruction(record.id)
        }
        for version in try await bench.ring().versions where version.retiredAt != nil && version.state != .destroyed {
            try await ask([version.id])
        }
        bench.clock.advance(by: .seconds(200))
        while !asked.isEmpty { try await destroy() }
        try await check("seed \(seed), in the end")
    }

    private mutating func rotate(_ urgency: RunUrgency) async throws {
        for row in rowKeys.keys {
            if let key = rowKeys[row] { old.append((row, key, try bench.stored(row))) }
        }
        let run = try await bench.run(.rotate, urgency: urgency)
        #expect(run.state == .done, "seed \(seed): \(run.message ?? "")")
        let active = try await bench.active()
        for row in rowKeys.keys { rowKeys[row] = active }
    }

    /// An application, a replica or a restore writes back what it once read.
    private mutating func fallBack() async throws {
        // What lies under a key that is gone is ciphertext nobody opens, whoever writes it.
        guard let one = old.filter({ !gone.contains($0.key) }).randomElement(using: &random) else { return }
        try bench.putPastTheFence(one.text, row: one.row)
        rowKeys[one.row] = one.key
    }

    private mutating func backUp() async throws {
        let found = try await bench.examine()
        let keys = Set(found.usage.keys.compactMap { KeyID(hex: $0) })
        #expect(keys == Set(rowKeys.values), "seed \(seed): the scan differs from the model")
        let id = try await bench.list(
            needing: Array(keys), holding: found.wrappedKeys.compactMap { KeyID(hex: $0) })
        backups[id] = keys
    }

    private mutating func expire() async throws {
        guard let id = backups.keys.sorted().randomElement(using: &random) else { return }
        try await bench.expire(backup: id)
        backups[id] = nil
    }

    private mutating func ask() async throws {
        let keys = try await bench.ring().versions.filter { $0.state != .destroyed }.map(\.id)
        try await ask([keys.randomElement(using: &random)].compactMap { $0 })
    }

    private mutating func ask(_ keys: [KeyID]) async throws {
        let request = RotationEngine.DestructionRequest(
            keyring: .main, keys: keys, reason: "walk", backup: Self.declared)
        do {
            let entry = try await bench.engine().requestDestruction(request)
            if entry.state == "waiting" { asked.append(entry.id) }
        } catch let error as RotationError where error.code == .callerPolicyForbids {}
    }

    private mutating func callOff() async throws {
        guard let id = asked.randomElement(using: &random), Bool.random(using: &random) else { return }
        _ = try await bench.engine().cancelDestruction(id)
        asked.removeAll { $0 == id }
    }

    private mutating func destroy() async throws {
        guard let id = asked.randomElement(using: &random) else { return }
        if Bool.random(using: &random) { _ = try await bench.engine(actor: "second").approveDestruction(id) }
        do {
            let entry = try await bench.engine().destroy(id, backup: Self.declared)
            destroyed += 1
            asked.removeAll { $0 == id }
            for key in entry.keys.compactMap({ KeyID(hex: $0) }) {
                #expect(!rowKeys.values.contains(key), "seed \(seed): a live row needed key \(key)")
                #expect(!backups.values.contains { $0.contains(key) }, "seed \(seed): a backup needed key \(key)")
                gone.insert(key)
            }
        } catch let error as RotationError where error.code == .callerPolicyForbids { prevented += 1 }
    }

    /// Every row opens, and exactly the keys are gone that the model says.
    private func check(_ place: String) async throws {
        // As a run opens them, since a compromised key opens for nobody else once a run has retired it.
        let found = try await bench.examine()
        let model = Dictionary(grouping: rowKeys.values, by: \.description).mapValues { Int64($0.count) }
        #expect(found.usage == model && found.unopenable == 0, "\(place): \(found)")
        let versions = try await bench.ring().versions.filter { $0.state == .destroyed }.map(\.id)
        #expect(Set(versions) == gone, "\(place)")
        for key in versions { #expect(try await bench.control.read { try $0.wraps(of: key) }.isEmpty, "\(place)") }
    }
}
