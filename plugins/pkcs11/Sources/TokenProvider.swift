internal import CToken
internal import Foundation
internal import KeyModel
internal import PluginKit

/// Wraps with AES-GCM on a token, under a key that never leaves it.
///
/// Several keys may have the label; the one with the greatest CKA_ID wraps, all of them unwrap. Keys that it makes have an id
/// of the time and a random number, after as much of the greatest id as it takes to be greater. A wrapped key is a nonce of 12 bytes, the ciphertext and a tag of 16 bytes; its context is the
/// binding.
struct TokenProvider: KeyProvider {
    private let pool: SessionPool

    private static let nonceCount = 12
    private static let tagCount = 16
    private static let mostKeys = 256

    init(_ pool: SessionPool) { self.pool = pool }

    func info() async throws(ProviderError) -> ProviderInfo {
        ProviderInfo(kind: "pkcs11", version: "1.0", abilities: [.rotate, .versions])
    }

    func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] {
        let newest = try await newestKey()
        var checks = [ProviderCheck(name: "token and PIN", outcome: .pass)]
        let remark = newest.isProtected ? "it never leaves the token" : "it can be read, or may not encrypt and decrypt"
        checks.append(
            ProviderCheck(name: "key \(name(newest.id))", outcome: newest.isProtected ? .pass : .fail, remark: remark))
        guard newest.isProtected, let keyring = try? Name("test"), let id = KeyID(1) else { return checks }
        let binding = WrapBinding(instance: "", keyring: keyring, key: id)
        let material = SecretBytes(copying: Bytes(0..<32))
        let back = try await unwrap(try await wrap(material, binding: binding, call), binding: binding, call)
        checks.append(ProviderCheck(name: "wrap and unwrap", outcome: back.isEqual(to: material) ? .pass : .fail))
        return checks
    }

    func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey {
        let key = try await newestKey()
        guard key.isProtected else {
            throw ProviderError(
                .providerDenied, "cannot wrap key \(binding.key): \(name(key.id)) is not protected by the token",
                hint: "Use a key that is sensitive and not extractable.")
        }
        let held = KeyMaterial(id: binding.key, secret: material.withExposedBytes { SecretBytes(copying: $0) })
        let context = Self.context(of: binding)
        let ciphertext = try await pool.withSession("wrap key \(binding.key)") {
            module, session -> Result<Bytes, TokenFailure> in
            var nonce = Bytes(repeating: 0, count: Self.nonceCount)
            let random = kt_session_random(module, session, &nonce, nonce.count)
            guard random == kt_result(KT_OK) else { return .failure(.token(random)) }
            let sealed = held.withExposedBytes { input in
                Self.work(input, nonce, context, capacity: input.count + Self.tagCount) {
                    kt_session_encrypt(module, session, key.handle, &$0)
                }
            }
            return sealed.map { nonce + $0 }
        }
        return WrappedKey(ciphertext: ciphertext, providerKeyID: name(key.id))
    }

    func unwrap(
        _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> SecretBytes {
        guard let key = try await keys().first(where: { name($0.id) == wrapped.providerKeyID }) else {
            throw ProviderError(
                .providerKeyUnknown,
                "token \(quoted(pool.settings.token)) does not hold the key \(quoted(wrapped.providerKeyID))",
                hint: "Put back the token, or the copy of it, that holds the key."
            )
        }
        guard wrapped.ciphertext.count > Self.nonceCount + Self.tagCount else { throw Self.notAuthentic(binding) }
        let nonce = Bytes(wrapped.ciphertext.prefix(Self.nonceCount))
        let sealed = Bytes(wrapped.ciphertext.dropFirst(Self.nonceCount))
        let context = Self.context(of: binding)
        var plaintext = try await pool.withSession("unwrap key \(binding.key)") {
            module, session -> Result<Bytes, TokenFailure> in
            let opened = sealed.withUnsafeBytes { input in
                Self.work(input, nonce, context, capacity: input.count) {
                    kt_session_decrypt(module, session, key.handle, &$0)
                }
            }
            // Some tokens say no more than "general error" or "function failed" where the tag does not fit.
            if case .failure(.token(let code)) = opened, [0x05, 0x06].contains(code) {
                return .failure(.own(Self.notAuthentic(binding)))
            }
            return opened
        }
        defer { for index in plaintext.indices { plaintext[index] = 0 } }
        guard KeyMaterial.sizes.contains(plaintext.count) else { throw Self.notAuthentic(binding) }
        return SecretBytes(copying: plaintext)
    }

    func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        described(try await newestKey())
    }

    func listVersions(_ call: ProviderCall) async throws(ProviderError) -> [ProviderKey] {
        let newest = try await newestKey()
        let older = try await keys().filter { $0.id.lexicographicallyPrecedes(newest.id) }
        return (older.sorted { $0.id.lexicographicallyPrecedes($1.id) } + [newest]).map(described)
    }

    func rotateKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        let made = try await makeKey(after: try await keys().map(\.id).max { $0.lexicographicallyPrecedes($1) } ?? [])
        let newest = try await describeKey(call)
        guard newest.id == name(made) else {
            throw ProviderError(
                .providerUnavailable, "the token made the key \(name(made)), and \(newest.id) still wraps",
                hint: "Another key was made at the same time; try again.")
        }
        return newest
    }
}

/// Keys on the token.
extension TokenProvider {
    /// A key on the token.
    private struct TokenKey: Sendable {
        let handle: UInt
        let id: Bytes
        let isProtected: Bool
    }

    private func described(_ key: TokenKey) -> ProviderKey {
        ProviderKey(
            id: name(key.id), isUsable: key.isProtected,
            summary: "AES key \(quoted(pool.settings.key)) on token \(quoted(pool.settings.token))")
    }

    private func keys() async throws(ProviderError) -> [TokenKey] {
        let label = pool.settings.key
        return try await pool.withSession("look for the key \(quoted(label))") {
            module, session -> Result<[TokenKey], TokenFailure> in
            var found = [kt_key](repeating: kt_key(), count: Self.mostKeys)
            var count = 0
            let result = kt_session_keys(module, session, label, &found, found.count, &count)
            guard result == kt_result(KT_OK) else { return .failure(.token(result)) }
            return .success(
                found.prefix(count).map { key in
                    let id = withUnsafeBytes(of: key.id) { Bytes($0.prefix(key.id_count)) }
                    return TokenKey(handle: key.handle, id: id, isProtected: key.is_protected != 0)
                })
        }
    }

    private func newestKey() async throws(ProviderError) -> TokenKey {
        if let newest = try await keys().max(by: { $0.id.lexicographicallyPrecedes($1.id) }) { return newest }
        guard pool.settings.createsKey else {
            throw ProviderError(
                .providerMisconfigured,
                "token \(quoted(pool.settings.token)) holds no AES key \(quoted(pool.settings.key))",
                hint: "Make it with the token's own tools, or let it be made with create = \"yes\"."
            )
        }
        _ = try await makeKey(after: [])
        guard let made = try await keys().first else {
            throw ProviderError(.providerUnavailable, "the token does not show the key that it made")
        }
        return made
    }

    /// Makes a key whose id is greater than another, and gives back the id.
    private func makeKey(after greatest: Bytes) async throws(ProviderError) -> Bytes {
        let label = pool.settings.key
        guard let time = Self.time(Date().timeIntervalSince1970, after: greatest) else {
            throw ProviderError(
                .providerMisconfigured, "no key can be made that would be newer than \(name(greatest))",
                hint: "Give that key a shorter id with the token's own tools; see what names it before.")
        }
        return try await pool.withSession("make a key \(quoted(label))") {
            module, session -> Result<Bytes, TokenFailure> in
            var number = Bytes(repeating: 0, count: 8)
            let random = kt_session_random(module, session, &number, number.count)
            guard random == kt_result(KT_OK) else { return .failure(.token(random)) }
            let id = time + number
            let result = kt_session_make_key(module, session, label, id, id.count)
            return result == kt_result(KT_OK) ? .success(id) : .failure(.token(result))
        }
    }

    /// The time as the beginning of an id, after so many bytes of another id that it is greater; nil where no id of at most
    /// 64 bytes is.
    ///
    /// Other tools make ids such as `01`, and clocks are set back.
    private static func time(_ seconds: Double, after greatest: Bytes) -> Bytes? {
        let time = withUnsafeBytes(of: UInt64(max(0, seconds * 1000)).bigEndian) { Bytes($0) }
        let shortest = (0...greatest.count).lazy.map { greatest.prefix($0) + time }
            .first { greatest.lexicographicallyPrecedes($0) }
        return shortest.flatMap { $0.count <= 56 ? Bytes($0) : nil }
    }

    /// A key's name: its label and its id.
    private func name(_ id: Bytes) -> String {
        pool.settings.key + ":" + id.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    /// Runs one of the token's ciphers over bytes.
    private static func work(
        _ input: UnsafeRawBufferPointer, _ nonce: Bytes, _ context: Bytes, capacity: Int,
        _ cipher: (inout kt_gcm) -> kt_result
    ) -> Result<Bytes, TokenFailure> {
        var output = Bytes(repeating: 0, count: capacity)
        var written = 0
        let result = output.withUnsafeMutableBufferPointer { output in
            nonce.withUnsafeBufferPointer { nonce in
                context.withUnsafeBufferPointer { context in
                    let bytes = input.bindMemory(to: UInt8.self)
                    var gcm = kt_gcm(
                        nonce: nonce.baseAddress, nonce_count: nonce.count, context: context.baseAddress,
                        context_count: context.count, input: bytes.baseAddress, input_count: bytes.count,
                        output: output.baseAddress, capacity: capacity, output_count: 0)
                    let result = cipher(&gcm)
                    written = gcm.output_count
                    return result
                }
            }
        }
        guard result == kt_result(KT_OK) else { return .failure(.token(result)) }
        return .success(Bytes(output.prefix(written)))
    }

    /// What a wrapped key is bound to, with lengths, so that no two bindings give the same bytes.
    private static func context(of binding: WrapBinding) -> Bytes {
        let parts = ["keyturn pkcs11 wrap", binding.instance, binding.keyring.description, binding.key.description]
        return parts.reduce(into: Bytes()) { bytes, part in
            withUnsafeBytes(of: UInt32(part.utf8.count).bigEndian) { bytes += $0 }
            bytes += part.utf8
        }
    }

    private static func notAuthentic(_ binding: WrapBinding) -> ProviderError {
        ProviderError(
            .dataNotAuthentic,
            "cannot unwrap key \(binding.key) of \"\(binding.keyring)\": it was changed or wrapped for another place")
    }
}
