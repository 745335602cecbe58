internal import Foundation
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
package import KeyModel
internal import LibCrypto
package import PluginKit
internal import PluginWire
internal import SwiftProtobuf

/// Any Kubernetes KMS v2 plugin as a key provider, by its Unix socket.
///
/// The wire has no context, no test and no turning of keys: a key is bound to its place by ``KMSv2Envelope``, and a turned key
/// is noticed by its name.
package actor KMSv2Provider: KeyProvider {
    private let name: Name
    private let endpoint: KMSv2Endpoint
    private let pollPause: Duration
    private var observation: KeyObservation

    /// A key that changes with more polls than this is none.
    private static let mostPolls = 4

    /// Reaches a plugin.
    ///
    /// - Parameters:
    ///   - name: The provider's name, for messages and for what keys are bound to.
    ///   - socket: Where it listens.
    ///   - pollPause: The time between two polls that have to agree.
    package init(name: Name, socket: ProviderSocket, pollPause: Duration = .milliseconds(200)) {
        self.name = name
        self.pollPause = pollPause
        endpoint = KMSv2Endpoint(name: name, socket: socket)
        observation = KeyObservation(provider: name)
    }

    /// Says what it is; the wire does not tell which plugin it is.
    package func info() async throws(ProviderError) -> ProviderInfo { ProviderInfo(kind: "kms-v2", version: "2") }

    /// Polls, wraps and unwraps a throw-away key.
    package func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] {
        var checks: [ProviderCheck] = []
        let time = CallTime(call)
        let key = try await currentKey(time)
        checks.append(ProviderCheck(name: "status", outcome: .pass, remark: "healthy, key \(key)"))
        guard let keyring = try? Name("test"), let id = KeyID(1) else { return checks }
        let binding = WrapBinding(instance: "", keyring: keyring, key: id)
        let material = SecretBytes(copying: Bytes(0..<32))
        let wrapped = try await wrap(material, binding: binding, rest(of: time, call))
        let back = try await unwrap(wrapped, binding: binding, rest(of: time, call))
        checks.append(ProviderCheck(name: "wrap and unwrap", outcome: back.isEqual(to: material) ? .pass : .fail))
        return checks
    }

    /// Wraps under the key that two polls name, unwraps again and compares.
    package func wrap(
        _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> WrappedKey {
        guard KeyMaterial.sizes.contains(material.count) else {
            throw ProviderError(
                .providerDenied, "cannot wrap key \(binding.key): it has \(material.count) bytes, not 1 to 256")
        }
        let seed = try Self.newSeed(for: binding.key)
        let time = CallTime(call)
        let (answer, key) = try await encrypt(seed, time)
        try await prove(answer, key, holds: seed, time)
        let context = KMSv2Envelope.context(of: binding, provider: name, keyID: key)
        guard
            let envelope = KMSv2Envelope(
                sealing: material, under: seed, wrappedSeed: Bytes(answer.ciphertext), context: context)
        else {
            throw ProviderError(.providerUnavailable, "cannot wrap key \(binding.key): the cipher refused")
        }
        return WrappedKey(
            ciphertext: envelope.bytes, providerKeyID: key, annotations: answer.annotations.mapValues { Bytes($0) })
    }

    /// Unwraps; key id and annotations go back to the plugin byte for byte.
    package func unwrap(
        _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
    ) async throws(ProviderError) -> SecretBytes {
        guard let envelope = KMSv2Envelope(wrapped.ciphertext) else { throw notAuthentic(binding) }
        let seed = try await decrypt(
            envelope.wrappedSeed, key: wrapped.providerKeyID, annotations: wrapped.annotations.mapValues { Data($0) },
            for: binding.key, CallTime(call))
        let context = KMSv2Envelope.context(of: binding, provider: name, keyID: wrapped.providerKeyID)
        guard let secret = envelope.open(with: seed, context: context) else { throw notAuthentic(binding) }
        return secret
    }

    /// Polls until two polls agree.
    package func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
        let key = try await currentKey(CallTime(call))
        return ProviderKey(id: key, isUsable: true, summary: "key \(WireText.escaped(key)) of a KMS v2 plugin")
    }

    private func rest(of time: CallTime, _ call: ProviderCall) throws(ProviderError) -> ProviderCall {
        let left = try time.left("provider \"\(name)\" cannot test its key")
        return ProviderCall(deadline: left, idempotencyKey: call.idempotencyKey)
    }

    private func currentKey(_ time: CallTime) async throws(ProviderError) -> String {
        for poll in 0..<Self.mostPolls {
            if poll > 0 { try? await Task.sleep(for: pollPause) }
            let status = try await endpoint.status(time)
            if case .settled(let key) = try observation.take(status) { return key }
        }
        throw ProviderError(
            .providerAnswerInvalid, "provider \"\(name)\" names another key with each poll",
            hint: "Several plugins that do not agree may serve one socket; nothing was wrapped."
        )
    }

    /// Encrypts a seed; the answer must name the key that the status names, which decides.
    private func encrypt(
        _ seed: KeyMaterial, _ time: CallTime
    ) async throws(ProviderError) -> (V2_EncryptResponse, String) {
        var key = try await currentKey(time)
        let answer = try await endpoint.encrypt(seed, time)
        if answer.keyID != key { key = try await currentKey(time) }
        guard answer.keyID == key else {
            throw invalid("wrapped under \(quoted(answer.keyID)) while its status names \(quoted(key))")
        }
        guard (1...KMSv2Envelope.maximumWrappedSeed).contains(answer.ciphertext.count) else {
            throw invalid("wrapped a seed into \(answer.ciphertext.count) bytes, not 1 to 1024")
        }
        for annotation in answer.annotations.keys where !Self.isQualified(annotation) {
            throw invalid("gave an annotation \(quoted(annotation)), which is no fully qualified name")
        }
        let wrapped = WrappedKey(
            ciphertext: Bytes(answer.ciphertext), providerKeyID: key,
            annotations: answer.annotations.mapValues { Bytes($0) })
        try seed.withSecret { secret throws(ProviderError) in
            try AnswerCheck.check(wrapped, of: secret, from: name)
        }
        return (answer, key)
    }

    private func prove(
        _ answer: V2_EncryptResponse, _ key: String, holds seed: KeyMaterial, _ time: CallTime
    ) async throws(ProviderError) {
        let back = try await decrypt(
            Bytes(answer.ciphertext), key: key, annotations: answer.annotations, for: seed.id, time)
        let isSame = seed.withSecret { first in back.withSecret { first.isEqual(to: $0) } }
        guard isSame else { throw invalid("gave back another seed than it had wrapped") }
    }

    private func decrypt(
        _ ciphertext: Bytes, key: String, annotations: [String: Data], for id: KeyID, _ time: CallTime
    ) async throws(ProviderError) -> KeyMaterial {
        let request = V2_DecryptRequest.with {
            $0.ciphertext = Data(ciphertext)
            $0.uid = UUID().uuidString.lowercased()
            $0.keyID = key
            $0.annotations = annotations
        }
        let plaintext = try await endpoint.decrypt(request, time)
        guard plaintext.count == KMSv2Envelope.seedSize else {
            throw invalid("gave back a seed of \(plaintext.count) bytes, not 32")
        }
        return KeyMaterial(id: id, secret: SecretBytes(copying: plaintext))
    }

    private static func newSeed(for key: KeyID) throws(ProviderError) -> KeyMaterial {
        let secret = try SecretBytes(count: KMSv2Envelope.seedSize) { bytes throws(ProviderError) in
            guard LibCrypto.fillWithRandomBytes(bytes) else {
                throw ProviderError(.providerUnavailable, "cannot wrap key \(key): no random bytes")
            }
        }
        return KeyMaterial(id: key, secret: secret)
    }

    /// Whether a name is one of RFC 1123 with at least two labels, as the protocol asks of annotations.
    private static func isQualified(_ name: String) -> Bool {
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        return labels.count >= 2 && name.utf8.count <= 253
            && labels.allSatisfy { label in
                (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                    && label.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D }
            }
    }

    private func invalid(_ what: String) -> ProviderError {
        ProviderError(
            .providerAnswerInvalid, "provider \"\(name)\" \(what)",
            hint: "Nothing was stored. Try the plugin with \"keyturn plugin test\"."
        )
    }

    private func notAuthentic(_ binding: WrapBinding) -> ProviderError {
        ProviderError(
            .dataNotAuthentic,
            "cannot unwrap key \(binding.key) of \"\(binding.keyring)\": it was changed or wrapped for another place")
    }
}
