import Crypto
import Foundation
import KeyModel
import PluginKit

/// Wraps under AES-256-GCM with keys that lie in a directory, one file each; the newest wraps, all of them unwrap.
///
/// It shows every part of a provider. A directory of files is no place for keys that matter.
actor KeyDirectoryProvider: KeyProvider {
    private let directory: String
    private var keys: [StoredKey] = []

    /// A key with the name that its content gives it.
    private struct StoredKey {
        let name: String
        let key: SymmetricKey
    }

    /// Opens the directory; the first key is made where there is none.
    init(directory: String) throws(ProviderError) {
        self.directory = directory
        keys = try Self.read(directory)
        if keys.isEmpty { keys = [try Self.make(in: directory, number: 1)] }
    }

    func info() async throws(ProviderError) -> ProviderInfo {
        ProviderInfo(kind: "example", version: "1.0", abilities: [.rotate, .versions])
    }

    func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] {
        let found = try Self.read(directory)
        let isSame = found.map(\.name) == keys.map(\.name)
        return [
            ProviderCheck(
                name: "keys on the disk", outcome: isSame ? .pass : .fail,
                remark: isSame ? "\(found.count) keys" : "the directory has changed; start the plugin again")
        ]
    }

    func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey {
        guard let newest = keys.last else { throw ProviderError(.providerMisconfigured, "there is no key") }
        let sealed: AES.GCM.SealedBox?
        do {
            sealed = try material.withExposedBytes {
                try AES.GCM.seal($0, using: newest.key, authenticating: Self.context(of: binding))
            }
        } catch {
            throw ProviderError(.providerUnavailable, "cannot wrap key \(binding.key): the cipher refused")
        }
        guard let combined = sealed?.combined else {
            throw ProviderError(.providerUnavailable, "cannot wrap key \(binding.key): the cipher refused")
        }
        return WrappedKey(ciphertext: [UInt8](combined), providerKeyID: newest.name)
    }

    func unwrap(
        _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> SecretBytes {
        guard let holder = keys.first(where: { $0.name == wrapped.providerKeyID }) else {
            throw ProviderError(
                .providerKeyUnknown, "there is no key \(quoted(wrapped.providerKeyID)) in \(quoted(directory))",
                hint: "Put back the file that holds it."
            )
        }
        do {
            let box = try AES.GCM.SealedBox(combined: wrapped.ciphertext)
            return SecretBytes(
                copying: try AES.GCM.open(box, using: holder.key, authenticating: Self.context(of: binding)))
        } catch {
            throw ProviderError(
                .dataNotAuthentic, "cannot unwrap key \(binding.key): it was changed or wrapped for another place")
        }
    }

    func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        guard let newest = keys.last else { throw ProviderError(.providerMisconfigured, "there is no key") }
        return ProviderKey(id: newest.name, isUsable: true, summary: "key \(keys.count) of \(directory)")
    }

    func rotateKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        keys.append(try Self.make(in: directory, number: keys.count + 1))
        return try await describeKey(call)
    }

    func listVersions(_ call: ProviderCall) async throws(ProviderError) -> [ProviderKey] {
        keys.enumerated().map { index, key in
            ProviderKey(id: key.name, isUsable: true, summary: "key \(index + 1) of \(directory)")
        }
    }

    /// What a wrapped key is bound to, with lengths, so that no two bindings give the same bytes.
    private static func context(of binding: WrapBinding) -> Data {
        var data = Data()
        for part in [binding.instance, binding.keyring.description, binding.key.description] {
            withUnsafeBytes(of: UInt32(part.utf8.count).bigEndian) { data.append(contentsOf: $0) }
            data.append(contentsOf: part.utf8)
        }
        return data
    }

    private static func read(_ directory: String) throws(ProviderError) -> [StoredKey] {
        do {
            let files = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".key") }
            return try files.sorted().map { file in
                let data = try Data(contentsOf: URL(filePath: directory + "/" + file))
                guard data.count == 32 else { throw CocoaError(.fileReadCorruptFile) }
                return StoredKey(name: name(of: data), key: SymmetricKey(data: data))
            }
        } catch {
            throw ProviderError(
                .providerMisconfigured, "cannot read the keys in \(quoted(directory))",
                hint: "Make the directory, mode 0700, and leave only files of 32 bytes with names that end in .key."
            )
        }
    }

    private static func make(in directory: String, number: Int) throws(ProviderError) -> StoredKey {
        let key = SymmetricKey(size: .bits256)
        let data = key.withUnsafeBytes { Data($0) }
        let file = directory + "/" + String(repeating: "0", count: max(0, 4 - "\(number)".count)) + "\(number).key"
        guard !FileManager.default.fileExists(atPath: file),
            FileManager.default.createFile(atPath: file, contents: data, attributes: [.posixPermissions: 0o600])
        else {
            throw ProviderError(.providerMisconfigured, "cannot write \(quoted(file))")
        }
        return StoredKey(name: name(of: data), key: key)
    }

    /// The name of a key: what it is, not where it lies.
    private static func name(of key: Data) -> String {
        SHA256.hash(data: Data("example-provider".utf8) + key).prefix(8).map {
            String($0 >> 4, radix: 16) + String($0 & 15, radix: 16)
        }.joined()
    }
}
