import Foundation
internal import KeyModel
package import PluginKit

/// The keys of a keyring as an application holds them: exported by `keyturn`, used by a core of its own.
package struct HeldKeys: Sendable {
    /// The keys, the one that seals first.
    package let materials: [KeyMaterial]
    private let core: any EncryptionCore
    private let type: any EncryptionCore.Type

    /// Fetches a keyring's keys.
    package init(of keyring: String, _ type: any EncryptionCore.Type, from sandbox: Sandbox) async throws {
        let detail = try await sandbox.keyturn("keyring", "show", keyring, "-o", "json").expecting().json.result
        let export = try await sandbox.keyturn("keyring", "export", keyring, "--yes").expecting()
        let texts = export.line.split(separator: "\n")
        let ids = Self.order(detail.versions.array).compactMap { KeyID(hex: $0) }
        guard ids.count == texts.count else { throw EndToEndError("\(texts.count) keys exported, \(ids.count) listed") }
        let materials = try zip(ids, texts).map { id, text in
            KeyMaterial(id: id, secret: try type.importMaterial(SecretBytes(copying: Array(text.utf8)), options: [:]))
        }
        try self.init(materials, type)
    }

    private init(_ materials: [KeyMaterial], _ type: any EncryptionCore.Type) throws {
        self.materials = materials
        self.type = type
        core = try type.init(options: [:], keys: materials)
    }

    /// These keys without all but the one that seals.
    package func sealingKeyAlone() throws -> HeldKeys { try HeldKeys(Array(materials.prefix(1)), type) }

    /// What a value holds; nil where these keys do not open it.
    package func open(_ value: String, at place: ValueContext) -> String? {
        let item = SealedItem(StoredValue(Array(value.utf8), as: .text), context: place)
        guard case .success(let opened)? = core.open([item]).first else { return nil }
        return String(decoding: opened.plaintext, as: UTF8.self)
    }

    /// A value sealed under the key that seals.
    package func seal(_ plaintext: String, at place: ValueContext) throws -> String {
        let item = PlainItem(Array(plaintext.utf8), context: place, form: .text)
        guard let active = materials.first, case .success(let value)? = core.seal([item], with: active.id).first,
            let bytes = value.bytes
        else { throw EndToEndError("cannot seal") }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The ids in the order in which keys are exported: active, then older ones, the newest first, then one to come.
    private static func order(_ versions: [JSONValue]) -> [String] {
        let open = versions.filter {
            ["active", "deactivated"].contains($0.state.string) && $0.retiredAt.string == nil
        }
        let ordered =
            open.filter { $0.state.string == "active" } + open.filter { $0.state.string != "active" }.reversed()
            + versions.filter { $0.state.string == "preActivation" }
        return ordered.compactMap(\.id.string)
    }
}
