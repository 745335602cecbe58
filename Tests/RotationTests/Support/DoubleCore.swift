internal import KeyModel
internal import PluginKit

/// A core whose format is plain to see, and whose faults a test chooses by the option `fault`.
///
/// `dbl.KEY.SCHEME.CONTEXT.DETERMINISTIC.PLAINTEXT`, the last in hexadecimal; `bad.` before any of it is another format.
struct DoubleCore: EncryptionCore {
    static let descriptor = CoreDescriptor(
        name: "double", summary: "for tests", isAuthenticated: true, isCommitting: true, keyID: .hint,
        bindings: Set(ValueContext.Scheme.allCases), determinism: .optional, sealLimit: 1000, materialSizes: 8...8,
        materialSize: 8, options: ["fault", "hint"]
    )

    private let keys: [KeyID]
    private let fault: String
    private let hint: String

    static func selfTest() throws(CoreError) {}

    static func generateMaterial(options: CoreOptions) throws(CoreError) -> SecretBytes {
        SecretBytes(copying: Bytes((0..<8).map { _ in UInt8.random(in: 0...255) }))
    }

    static func importMaterial(_ text: borrowing SecretBytes, options: CoreOptions) throws(CoreError) -> SecretBytes {
        text.withExposedBytes { SecretBytes(copying: $0) }
    }

    static func exportMaterial(
        _ material: borrowing SecretBytes, options: CoreOptions
    ) throws(CoreError) -> SecretBytes { material.withExposedBytes { SecretBytes(copying: $0) } }

    init(options: CoreOptions, keys: [KeyMaterial]) throws(CoreError) {
        self.keys = keys.map(\.id)
        fault = options["fault"] ?? ""
        hint = options["hint"] ?? "none"
    }

    func inspect(_ value: StoredValue) -> Inspection {
        switch value {
        case .null: return .null
        case .other: return .plaintext
        case .text(let bytes), .blob(let bytes):
            if bytes.isEmpty { return .empty }
            let text = String(decoding: bytes, as: UTF8.self)
            if text.hasPrefix("bad.") { return .foreign }
            guard text.hasPrefix("dbl."), let key = KeyID(hex: text.dropFirst(4).prefix(8)) else { return .plaintext }
            return .mine(hint == "exact" ? .exact(key) : hint == "candidates" ? .candidates([key]) : .none)
        }
    }

    func open(_ items: [SealedItem]) -> [Result<OpenedValue, OpenFailure>] { items.map(open) }

    func seal(_ items: [PlainItem], with key: KeyID) -> [Result<StoredValue, SealFailure>] {
        items.map { item in
            guard keys.contains(key) else { return .failure(.unknownKey) }
            guard item.plaintext.count < 64 else { return .failure(.tooLarge) }
            return .success(StoredValue(Bytes(Self.text(item, key: key, fault: fault, keys: keys).utf8), as: item.form))
        }
    }

    func maximumStoredLength(plaintextBytes: Int, form: ValueForm) -> Int { 2 * plaintextBytes + 100 }

    func mark(of key: KeyID, form: ValueForm) -> [UInt8?]? { nil }

    /// A value as the core writes it.
    static func text(_ item: PlainItem, key: KeyID, fault: String = "", keys: [KeyID] = []) -> String {
        var plaintext = item.plaintext
        var key = key
        var context = item.context
        switch String(decoding: plaintext, as: UTF8.self).hasPrefix("keyturn canary") ? "" : fault {
        case "flips": plaintext[0] ^= 1
        case "cuts": plaintext.removeLast()
        case "misplaces": context = .caller([Bytes("elsewhere".utf8)])
        case "old key": key = keys.first { $0 != key } ?? key
        case "garbage": return "dbl.\(key).unreadable"
        case "clear": return String(decoding: plaintext, as: UTF8.self)
        default: break
        }
        let isDeterministic = fault == "forgets" ? false : item.isDeterministic
        return "dbl.\(key).\(mark(of: context)).\(isDeterministic ? "d" : "r").\(hex(plaintext))"
    }

    private func open(_ item: SealedItem) -> Result<OpenedValue, OpenFailure> {
        let parts = String(decoding: item.value.bytes ?? [], as: UTF8.self).split(
            separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 5, parts[0] == "dbl", let key = KeyID(hex: parts[1]) else { return .failure(.malformed) }
        guard keys.contains(key) else { return .failure(.unknownKey) }
        guard parts[2] == Self.mark(of: item.context) else { return .failure(.contextMismatch) }
        let digits = Array(parts[4])
        let plaintext = stride(from: 0, to: digits.count, by: 2).compactMap {
            UInt8(String(digits[$0...$0 + 1]), radix: 16)
        }
        return .success(OpenedValue(plaintext: plaintext, key: key, isDeterministic: parts[3] == "d"))
    }

    private static func mark(of context: ValueContext) -> String {
        "\(context.scheme.rawValue)-" + context.components.map(hex).joined(separator: "-")
    }

    private static func hex(_ bytes: Bytes) -> String {
        bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}
