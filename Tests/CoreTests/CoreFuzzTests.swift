import Fernet
import KR1
import KeyModel
import PluginKit
import Testing
import ToolTesting

/// Feeds cores with bytes that nobody sealed; nothing may trap, and nothing may open to what was
/// not sealed.
struct CoreFuzzTests {
    private static let rounds = 20_000

    @Test(arguments: [0x5EED, UInt64.random(in: .min ... .max)])
    func nothingUnsealedOpens(seed: UInt64) throws {
        print("fuzz: seed \(seed)")
        let cores: [any EncryptionCore] = [
            try KR1(options: [:], keys: [freshMaterial(1, of: KR1.self), freshMaterial(2, of: KR1.self)]),
            try Fernet(options: [:], keys: [freshMaterial(1, of: Fernet.self), freshMaterial(2, of: Fernet.self)]),
        ]
        for core in cores { try fuzz(core, seed: seed) }
    }

    private func fuzz(_ core: any EncryptionCore, seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var sealed: [StoredValue: Bytes] = [:]
        for round in 0..<60 {
            let form: ValueForm = round % 2 == 0 ? .blob : .text
            let plaintext = random.bytes(round * 3)
            let item = PlainItem(plaintext, context: .none, form: form)
            sealed[try core.sealOne(item, with: keyID(UInt32(round % 2) + 1))] = plaintext
        }
        let originals = Array(sealed.keys)
        for round in 0..<Self.rounds {
            guard let original = originals.randomElement(using: &random) else { return }
            let value = mutated(original, using: &random)
            _ = core.inspect(value)
            guard case .success(let opened) = core.open([SealedItem(value, context: .none)]).first else { continue }
            // White space round a token is not part of it, and a token reads the same in both forms.
            let known = [value.bytes ?? [], trimmed(value)].flatMap { [.text($0), .blob($0)] }.compactMap { sealed[$0] }
            #expect(known.contains(opened.plaintext), "seed \(seed), round \(round)")
        }
    }

    private func mutated(_ value: StoredValue, using random: inout SeededGenerator) -> StoredValue {
        var bytes = value.bytes ?? []
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let place = Int.random(in: 0...bytes.count, using: &random)
            switch Int.random(in: 0..<7, using: &random) {
            case 0 where place < bytes.count: bytes[place] = UInt8.random(in: .min ... .max, using: &random)
            case 1 where place < bytes.count: bytes.remove(at: place)
            case 2: bytes.insert(UInt8.random(in: .min ... .max, using: &random), at: place)
            case 3: bytes.removeSubrange(place...)
            case 4: bytes += random.bytes(place % 64)
            case 5: bytes = random.bytes(place)
            default: if place < bytes.count { bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random) }
            }
        }
        return StoredValue(bytes, as: Bool.random(using: &random) ? .text : .blob)
    }

    private func trimmed(_ value: StoredValue) -> Bytes {
        let isSpace = { (byte: UInt8) in byte == 0x20 || (0x09...0x0D).contains(byte) }
        return Bytes((value.bytes ?? []).drop(while: isSpace).reversed().drop(while: isSpace).reversed())
    }
}
