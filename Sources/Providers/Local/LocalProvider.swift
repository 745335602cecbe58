internal import Foundation
internal import KR1
package import KeyModel
internal import LibCrypto
package import PluginKit
internal import Synchronization

/// The built-in provider: wraps under a root key that stands in a file of this machine.
///
/// A wrapped key is a KR1 value whose key id is the generation's number and whose context is instance, keyring and key
/// id, so a wrap that was changed or moved does not unwrap.
package final class LocalProvider: KeyProvider {
    private let file: RootKeyFile
    private let root: Mutex<RootKey>
    private let rotations = RotationMemory()

    /// Opens the root key file at a path.
    ///
    /// - Throws: `ProviderError` with `providerMisconfigured`, see ``RootKeyFile/read()``.
    package init(opening path: String) throws(ProviderError) {
        file = RootKeyFile(path: path)
        root = Mutex(try file.read())
    }

    /// Reads a root key from the beginning of an open file, which may have no name; no generation can be added to it.
    ///
    /// - Throws: `ProviderError` with `providerMisconfigured`, see ``RootKeyFile/read()``.
    package init(reading descriptor: Int32) throws(ProviderError) {
        file = RootKeyFile(path: "/proc/self/fd/\(descriptor)")
        root = Mutex(try file.read(from: descriptor))
    }

    private init(file: RootKeyFile, root: RootKey) {
        self.file = file
        self.root = Mutex(root)
    }

    /// Creates a root key file with its first generation, and opens it.
    ///
    /// - Throws: `ProviderError`, see ``RootKeyFile/create(at:)``.
    package static func create(at path: String, time: Timestamp) throws(ProviderError) -> LocalProvider {
        let file = RootKeyFile(path: path)
        return LocalProvider(file: file, root: try file.create(at: time))
    }

    /// The generation that wraps.
    package var newest: RootKey.Generation { root.withLock { $0.newest } }

    /// Every generation that can unwrap, oldest first.
    package var generations: [RootKey.Generation] { root.withLock { $0.generations } }

    /// Adds a generation, which wraps from then on; it is on the disk when the call returns.
    ///
    /// - Throws: `ProviderError`, see ``RootKeyFile/appendGeneration(at:)``.
    @discardableResult
    package func appendGeneration(at time: Timestamp) throws(ProviderError) -> RootKey.Generation {
        let extended = try file.appendGeneration(at: time)
        root.withLock { $0 = extended }
        return extended.newest
    }

    /// Drops generations for good, but never the newest; it is on the disk when the call returns.
    ///
    /// - Throws: `ProviderError`, see ``RootKeyFile/drop(_:)``.
    package func drop(_ numbers: Set<UInt32>) throws(ProviderError) {
        let shortened = try file.drop(numbers)
        root.withLock { $0 = shortened }
    }

    /// Says that this is the built-in provider.
    package func info() async throws(ProviderError) -> ProviderInfo {
        ProviderInfo(kind: "local", version: "1", abilities: [.rotate, .versions])
    }

    /// Reads the file again, compares it with what is held, and wraps and unwraps a throw-away key.
    package func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] {
        var checks = [ProviderCheck(name: "root key file", outcome: .pass)]
        do throws(ProviderError) {
            let stored = try file.read().newest
            if stored.providerKeyID != newest.providerKeyID {
                let remark = "the file's newest generation is \(stored.number), in use is \(newest.number)"
                checks[0] = ProviderCheck(name: "root key file", outcome: .fail, remark: remark)
            }
        } catch {
            checks[0] = ProviderCheck(name: "root key file", outcome: .fail, remark: error.message)
        }
        checks.append(try roundTrip())
        return checks
    }

    /// Wraps under the newest generation.
    package func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey {
        try wrap(material, binding: binding)
    }

    /// Unwraps under the generation that the wrapped key names.
    package func unwrap(
        _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> SecretBytes {
        try unwrap(wrapped, binding: binding)
    }

    /// Describes the newest generation.
    package func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        newest.key
    }

    /// Lists the generations in the file.
    package func listVersions(_ call: ProviderCall) async throws(ProviderError) -> [ProviderKey] {
        generations.map(\.key)
    }

    /// Adds a generation, which wraps from then on; the older ones stay in the file.
    package func rotateKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        try await rotations.once(call) { [self] () async throws(ProviderError) in
            try appendGeneration(at: Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))).key
        }
    }

    private func wrap(_ material: borrowing SecretBytes, binding: WrapBinding) throws(ProviderError) -> WrappedKey {
        guard KeyMaterial.sizes.contains(material.count) else {
            throw ProviderError(
                .providerDenied, "cannot wrap key \(binding.key): it has \(material.count) bytes, not 1 to 256")
        }
        let generation = newest
        let core = try core(of: generation)
        let context = Self.context(of: binding)
        var plaintext = material.withExposedBytes { Bytes($0) }
        let results = core.seal([PlainItem(plaintext, context: context, form: .blob)], with: generation.material.id)
        plaintext.erase()
        guard case .success(.blob(let ciphertext)) = results.first else {
            throw ProviderError(.providerUnavailable, "cannot wrap key \(binding.key): the cipher refused")
        }
        return WrappedKey(ciphertext: ciphertext, providerKeyID: generation.providerKeyID)
    }

    private func unwrap(_ wrapped: WrappedKey, binding: WrapBinding) throws(ProviderError) -> SecretBytes {
        let core = try core(of: try generation(that: wrapped, for: binding))
        let item = SealedItem(.blob(wrapped.ciphertext), context: Self.context(of: binding))
        var plaintext = Self.plaintext(core.open([item]))
        defer { plaintext.erase() }
        guard KeyMaterial.sizes.contains(plaintext.count) else {
            throw ProviderError(
                .dataNotAuthentic,
                "cannot unwrap key \(binding.key) of \"\(binding.keyring)\": it was changed or wrapped for another place"
            )
        }
        return SecretBytes(copying: plaintext)
    }

    /// The one plaintext, or nothing; the results are given up here so that the caller holds the only copy.
    private static func plaintext(_ results: consuming [Result<OpenedValue, OpenFailure>]) -> Bytes {
        guard case .success(let opened) = results.first else { return [] }
        return opened.plaintext
    }

    /// The generation that a wrapped key names, by number and fingerprint.
    private func generation(
        that wrapped: WrappedKey, for binding: WrapBinding
    ) throws(ProviderError) -> RootKey.Generation {
        if let found = generations.first(where: { $0.providerKeyID == wrapped.providerKeyID }) { return found }
        throw ProviderError(
            .providerKeyUnknown,
            "cannot unwrap key \(binding.key) of \"\(binding.keyring)\": root key file \(quoted(file.path)) does not hold "
                + quoted(wrapped.providerKeyID),
            hint: "Put back the root key file that belongs to this instance, or the newer copy of it."
        )
    }

    private func core(of generation: RootKey.Generation) throws(ProviderError) -> KR1 {
        do throws(CoreError) {
            return try KR1(options: [:], keys: [generation.material])
        } catch {
            throw ProviderError(.providerUnavailable, "cannot set up the root key's cipher: \(error.message)")
        }
    }

    private static func context(of binding: WrapBinding) -> ValueContext {
        let parts = ["keyturn local wrap", binding.instance, binding.keyring.description, binding.key.description]
        return .caller(parts.map { Bytes($0.utf8) })
    }

    /// Wraps and unwraps a throw-away key.
    private func roundTrip() throws(ProviderError) -> ProviderCheck {
        let name = "wrap and unwrap"
        guard let keyring = try? Name("test"), let key = KeyID(1) else {
            return ProviderCheck(name: name, outcome: .skipped)
        }
        let binding = WrapBinding(instance: "", keyring: keyring, key: key)
        let material = SecretBytes(copying: Bytes(0..<32))
        let unwrapped = try unwrap(try wrap(material, binding: binding), binding: binding)
        return ProviderCheck(name: name, outcome: unwrapped.isEqual(to: material) ? .pass : .fail)
    }
}

extension RootKey.Generation {
    /// What is said of it.
    fileprivate var key: ProviderKey {
        ProviderKey(
            id: providerKeyID, isUsable: true, summary: "generation \(number) of the root key, created \(createdAt)")
    }
}

extension Bytes {
    /// Overwrites the bytes in place; whoever calls holds the only copy.
    fileprivate mutating func erase() { withUnsafeMutableBytes { LibCrypto.erase($0) } }
}
