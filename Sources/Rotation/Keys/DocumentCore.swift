internal import Foundation
internal import KeyModel
internal import PluginKit
internal import Storage

/// A core for columns that hold JSON documents: a sealed value stands in them as a JSON string, since it is no document
/// by itself, and a plaintext is a document's text as the database writes it.
///
/// Spaces round the string and escapes in it, with which an application may have written it, are seen through.
struct DocumentCore<Base: EncryptionCore>: EncryptionCore {
    static var descriptor: CoreDescriptor { Base.descriptor }

    private let base: Base

    init(_ base: Base) { self.base = base }

    init(options: CoreOptions, keys: [KeyMaterial]) throws(CoreError) {
        base = try Base(options: options, keys: keys)
    }

    static func selfTest() throws(CoreError) { try Base.selfTest() }

    static func generateMaterial(options: CoreOptions) throws(CoreError) -> SecretBytes {
        try Base.generateMaterial(options: options)
    }

    static func importMaterial(
        _ text: borrowing SecretBytes, options: CoreOptions
    ) throws(CoreError) -> SecretBytes { try Base.importMaterial(text, options: options) }

    static func exportMaterial(
        _ material: borrowing SecretBytes, options: CoreOptions
    ) throws(CoreError) -> SecretBytes { try Base.exportMaterial(material, options: options) }

    func inspect(_ value: StoredValue) -> Inspection { base.inspect(value.documentContent) }

    func open(_ items: [SealedItem]) -> [Result<OpenedValue, OpenFailure>] {
        base.open(items.map { SealedItem($0.value.documentContent, context: $0.context) })
    }

    func seal(_ items: [PlainItem], with key: KeyID) -> [Result<StoredValue, SealFailure>] {
        base.seal(items, with: key).map { result in
            result.flatMap { value in
                guard case .text(let bytes) = value, bytes.allSatisfy(Self.isPlain) else {
                    return .failure(.notExpressible)
                }
                return .success(.text([Self.quote] + bytes + [Self.quote]))
            }
        }
    }

    func maximumStoredLength(plaintextBytes: Int, form: ValueForm) -> Int {
        base.maximumStoredLength(plaintextBytes: plaintextBytes, form: form) + 2
    }

    /// The fence looks through the quotes as well.
    func mark(of key: KeyID, form: ValueForm) -> [UInt8?]? { base.mark(of: key, form: form) }

    private static var quote: UInt8 { UInt8(ascii: "\"") }

    /// Printable ASCII that stands in a JSON string as it is.
    private static func isPlain(_ byte: UInt8) -> Bool {
        (0x20...0x7E).contains(byte) && byte != quote && byte != UInt8(ascii: "\\")
    }
}

extension StoredValue {
    /// What a document that is a JSON string holds; any other value as it is.
    var documentContent: StoredValue {
        guard case .text(let bytes) = self, bytes.last.map(Self.mayEndString) ?? false else { return self }
        let isSpace: (UInt8) -> Bool = { [0x20, 0x09, 0x0A, 0x0D].contains($0) }
        let quote = UInt8(ascii: "\"")
        guard let first = bytes.firstIndex(where: { !isSpace($0) }), bytes[first] == quote,
            let last = bytes.lastIndex(where: { !isSpace($0) }), last > first, bytes[last] == quote
        else { return self }
        let content = bytes[(first + 1)..<last]
        guard content.contains(UInt8(ascii: "\\")) else {
            return content.contains(quote) ? self : .text(Bytes(content))
        }
        let decoded = try? JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed) as? String
        return decoded.map { .text(Bytes($0.utf8)) } ?? self
    }

    private static func mayEndString(_ byte: UInt8) -> Bool { byte <= 0x22 }
}

extension EncryptionCore {
    fileprivate var forDocuments: any EncryptionCore { DocumentCore(self) }
}

extension OpenedKeyring {
    /// The keyring as the values of a column want it: in a column of documents its core sees through their quotes.
    func fitted(to column: ColumnDescription?) -> OpenedKeyring {
        guard column?.holdsDocuments == true else { return self }
        return OpenedKeyring(
            record: record, descriptor: descriptor, core: core.forDocuments, activeCore: activeCore?.forDocuments)
    }
}
