internal import Foundation
internal import KeyModel
package import PluginKit
package import ProviderHTTP

/// Wraps by the transit engine of OpenBao or Vault, under a key that never leaves it.
///
/// The provider's name for a key is its path and the version that wrapped: `transit/kek:v3`.
package struct TransitProvider: KeyProvider {
    private let server: TransitServer
    private let keeper: TokenKeeper
    private let rotations = RotationMemory()

    private var settings: TransitSettings { server.settings }

    /// Sets up a provider; nothing is asked yet.
    package init(_ settings: TransitSettings, _ transport: any HTTPTransport, _ surroundings: Surroundings) {
        server = TransitServer(settings: settings, transport: transport, surroundings: surroundings)
        keeper = TokenKeeper(server)
    }

    /// Says what it is.
    package func info() async throws(ProviderError) -> ProviderInfo {
        ProviderInfo(kind: "transit", version: "1.0", abilities: [.rotate, .versions])
    }

    /// Wraps, bound by associated data, and has the server unwrap it again.
    package func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey {
        guard KeyMaterial.sizes.contains(material.count) else {
            throw ProviderError(.providerDenied, "cannot wrap \(material.count) bytes, only 1 to 256")
        }
        let deadline = Deadline(after: call.deadline)
        do throws(TransitError) {
            // With the right to create, the server would make a key that is not there.
            try demandUsable(try await key(deadline))
            let (text, version) = try await encrypt(material, Self.associatedData(binding), deadline)
            let back = try await decrypt(text, Self.associatedData(binding), deadline)
            let isSame = SecretBytes(copying: back).isEqual(to: material)
            guard isSame else {
                throw TransitError(.providerAnswer, "the server unwraps something else than it wrapped")
            }
            return WrappedKey(ciphertext: Bytes(text.utf8), providerKeyID: name(version))
        } catch {
            throw error.forHost
        }
    }

    /// Unwraps what this key wrapped in a version that still may.
    package func unwrap(
        _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> SecretBytes {
        let parts = wrapped.providerKeyID.split(separator: ":v", maxSplits: 1)
        guard parts.count == 2, parts[0] == settings.keyName else {
            throw ProviderError(
                .providerKeyUnknown,
                "cannot unwrap key \(binding.key): it is under \(quoted(wrapped.providerKeyID)), not \(settings.keyName)",
                hint: "Declare a provider for that key.")
        }
        let text = String(decoding: wrapped.ciphertext, as: UTF8.self)
        guard text.utf8.count <= 16_384, text.hasPrefix("vault:v\(parts[1]):"),
            text.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else {
            throw ProviderError(
                .dataNotAuthentic, "cannot unwrap key \(binding.key): it is no wrap of version \(parts[1])")
        }
        do throws(TransitError) {
            var plain = try await decrypt(text, Self.associatedData(binding), Deadline(after: call.deadline))
            defer { for index in plain.indices { plain[index] = 0 } }
            guard KeyMaterial.sizes.contains(plain.count) else {
                throw TransitError(.providerAnswer, "the server unwraps \(plain.count) bytes, not 1 to 256")
            }
            return SecretBytes(copying: plain)
        } catch {
            throw error.forHost
        }
    }

    /// Asks the server for the key.
    package func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        do throws(TransitError) {
            let key = try await key(Deadline(after: call.deadline))
            let why = Self.refusal(key)
            return ProviderKey(
                id: name(key.latestVersion), isUsable: why == nil,
                summary: why ?? "\(key.type), versions \(key.oldestThatOpens) to \(key.latestVersion) open",
                credentialsEndAt: keeper.end)
        } catch {
            throw error.forHost
        }
    }

    /// Asks the server for the versions that open.
    package func listVersions(_ call: ProviderCall) async throws(ProviderError) -> [ProviderKey] {
        do throws(TransitError) {
            let key = try await key(Deadline(after: call.deadline))
            let (oldest, latest) = (max(1, key.oldestThatOpens), key.latestVersion)
            guard oldest <= latest else { return [] }
            return (max(oldest, latest - 1023)...latest).map { version in
                ProviderKey(
                    id: name(version), isUsable: version == latest && Self.refusal(key) == nil,
                    summary: "version \(version) of a key of type \(key.type)")
            }
        } catch {
            throw error.forHost
        }
    }

    /// Makes a new version of the key at the server.
    package func rotateKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        try await rotations.once(call) { () async throws(ProviderError) in try await makeVersion(call) }
    }

    private func makeVersion(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        do throws(TransitError) {
            let deadline = Deadline(after: call.deadline)
            _ = try await ask("make a new version", "POST", "keys/\(settings.key)/rotate", [:], deadline) { _ in true }
        } catch {
            throw error.forHost
        }
        return try await describeKey(call)
    }

    /// Tries login, key, each operation and the binding, in this order.
    package func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] {
        let deadline = Deadline(after: call.deadline)
        var checks: [ProviderCheck] = []
        var text = ""
        let (good, other) = (Self.packed(["test"]), Self.packed(["another test"]))
        let material = SecretBytes(copying: (0..<32).map { UInt8($0 * 5 + 3) })
        let steps: [(String, () async throws(TransitError) -> Line)] = [
            (
                "login",
                { () async throws(TransitError) in
                    _ = try await keeper.token(deadline)
                    return (.pass, "")
                }
            ),
            (
                "key",
                { () async throws(TransitError) in
                    let why = Self.refusal(try await key(deadline))
                    return (why == nil ? .pass : .fail, why ?? "")
                }
            ),
            (
                "wrap",
                { () async throws(TransitError) in
                    text = try await encrypt(material, good, deadline).text
                    return (.pass, "")
                }
            ),
            (
                "unwrap",
                { () async throws(TransitError) in
                    Self.compared(try await decrypt(text, good, deadline), with: material)
                }
            ),
            (
                "altered context refused",
                { () async throws(TransitError) in try await mustNotUnwrap(text, other, deadline) }
            ),
            (
                "rewrap at the server",
                { () async throws(TransitError) in
                    guard let again = try await rewrap(text, good, deadline) else {
                        return (
                            .skipped, "the server rewraps nothing that is bound to a place; Keyturn unwraps and wraps"
                        )
                    }
                    return Self.compared(try await decrypt(again, good, deadline), with: material)
                }
            ),
        ]
        for (name, body) in steps {
            guard !checks.contains(where: { $0.outcome == .fail }) else {
                checks.append(ProviderCheck(name: name, outcome: .skipped, remark: "a line above must pass first"))
                continue
            }
            do throws(TransitError) {
                let line = try await body()
                checks.append(ProviderCheck(name: name, outcome: line.outcome, remark: line.remark))
            } catch {
                let remark = [error.message, error.hint].compactMap { $0 }.joined(separator: ". ")
                checks.append(ProviderCheck(name: name, outcome: .fail, remark: remark))
            }
        }
        return checks
    }
}

extension TransitProvider {
    private func name(_ version: Int) -> String { "\(settings.keyName):v\(version)" }

    /// What a wrap is bound to, with lengths, so that no two bindings give the same bytes.
    static func associatedData(_ binding: WrapBinding) -> Bytes {
        packed(["keyturn transit wrap", binding.instance, binding.keyring.description, binding.key.description])
    }

    private static func packed(_ parts: [String]) -> Bytes {
        parts.reduce(into: Bytes()) { bytes, part in
            withUnsafeBytes(of: UInt32(part.utf8.count).bigEndian) { bytes += $0 }
            bytes += part.utf8
        }
    }

    private static func refusal(_ key: TransitKey) -> String? {
        let kinds = ["aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"]
        guard key.canWrap, kinds.contains(key.type) else {
            return "a key of the kind \(quoted(key.type)) cannot bind a wrap to its place; use aes256-gcm96"
        }
        return key.isDerived
            ? "it is a derived key, which opens for no binding alone; use one without derived=true" : nil
    }

    private func demandUsable(_ key: TransitKey) throws(TransitError) {
        guard let why = Self.refusal(key) else { return }
        throw TransitError(.callerUsage, "\(settings.keyName) cannot wrap: \(why)")
    }

    private func key(_ deadline: Deadline) async throws(TransitError) -> TransitKey {
        try await ask("describe \(settings.keyName)", "GET", "keys/\(settings.key)", nil, deadline) { data in
            (try? JSONDecoder().decode(TransitEnvelope<TransitKey>.self, from: data))?.data
        }
    }

    private func encrypt(
        _ material: borrowing SecretBytes, _ context: Bytes, _ deadline: Deadline
    ) async throws(TransitError) -> (text: String, version: Int) {
        let fields = [
            "plaintext": material.withExposedBytes { Data($0) }.base64EncodedString(),
            "associated_data": Data(context).base64EncodedString(),
        ]
        return try await ask("wrap with \(settings.keyName)", "POST", "encrypt/\(settings.key)", fields, deadline) {
            data in
            let answer = (try? JSONDecoder().decode(TransitEnvelope<TransitCiphertext>.self, from: data))?.data
            return answer.flatMap { answer in answer.version.map { (answer.ciphertext, $0) } }
        }
    }

    private func decrypt(_ text: String, _ context: Bytes, _ deadline: Deadline) async throws(TransitError) -> Bytes {
        let fields = ["ciphertext": text, "associated_data": Data(context).base64EncodedString()]
        return try await ask("unwrap with \(settings.keyName)", "POST", "decrypt/\(settings.key)", fields, deadline) {
            data in
            (try? JSONDecoder().decode(TransitEnvelope<TransitPlaintext>.self, from: data))?.data
                .map { Bytes($0.plaintext) }
        }
    }

    /// Wraps under the newest version without showing the key; nil where the server cannot with associated data.
    private func rewrap(_ text: String, _ context: Bytes, _ deadline: Deadline) async throws(TransitError) -> String? {
        let fields = ["ciphertext": text, "associated_data": Data(context).base64EncodedString()]
        do throws(TransitError) {
            return try await ask("rewrap with \(settings.keyName)", "POST", "rewrap/\(settings.key)", fields, deadline)
            { data in
                (try? JSONDecoder().decode(TransitEnvelope<TransitCiphertext>.self, from: data))?.data?.ciphertext
            }
        } catch {
            guard error.code == .dataNotAuthentic else { throw error }
            return nil
        }
    }

    private typealias Line = (outcome: ProviderCheck.Outcome, remark: String)

    private static func compared(_ back: Bytes, with material: borrowing SecretBytes) -> Line {
        let isSame = SecretBytes(copying: back).isEqual(to: material)
        return isSame ? (.pass, "") : (.fail, "what was wrapped comes back as something else")
    }

    private func mustNotUnwrap(_ text: String, _ context: Bytes, _ deadline: Deadline) async throws(TransitError)
        -> Line
    {
        do throws(TransitError) {
            _ = try await decrypt(text, context, deadline)
        } catch {
            guard error.code == .dataNotAuthentic else { throw error }
            return (.pass, "")
        }
        return (.fail, "a wrap opens in another context than its own")
    }

    /// Asks the engine; a token that is lost is replaced once.
    private func ask<Answer>(
        _ what: String, _ method: String, _ path: String, _ fields: [String: String]?, _ deadline: Deadline,
        read: (Data) -> Answer?
    ) async throws(TransitError) -> Answer {
        var hasTriedAgain = false
        while true {
            let (token, number) = try await keeper.token(deadline)
            do throws(TransitServer.Failure) {
                return try await server.call(
                    what, method, "\(settings.mount)/\(path)", fields, token: token, deadline, read: read)
            } catch {
                switch error {
                case .other(let inner): throw inner
                case .denied(let text):
                    keeper.lost(number)
                    if !hasTriedAgain {
                        hasTriedAgain = true
                        continue
                    }
                    throw TransitError(
                        .providerDenied,
                        "the server does not let us \(what): the token has ended or was revoked, its policy does not allow it, "
                            + "or the mount is another (\(text))",
                        hint: "Check the token's policies for \(settings.mount)/\(path).")
                }
            }
        }
    }
}
