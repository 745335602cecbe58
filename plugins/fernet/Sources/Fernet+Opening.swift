internal import LibCrypto
public import PluginKit

extension Fernet {
    /// Opens tokens, trying the keys in order; a wrong key and a changed token cannot be told
    /// apart.
    public func open(_ items: [SealedItem]) -> [Result<OpenedValue, OpenFailure>] {
        pool.withWorkspace { workspace in
            defer { workspace.forget() }
            return items.map { open($0, workspace) }
        }
    }

    private func open(_ item: SealedItem, _ workspace: FernetWorkspace) -> Result<OpenedValue, OpenFailure> {
        guard let text = item.value.bytes else { return .failure(.malformed) }
        guard text.count <= FernetToken.textCount(ofPlaintext: FernetToken.maximumPlaintext) else {
            return .failure(.tooLarge)
        }
        guard let token = FernetToken.bytes(of: text) else { return .failure(.malformed) }
        // A token says nothing of its place, so that no place can be vouched for.
        guard item.context.scheme == .none else { return .failure(.contextMismatch) }
        return token.withUnsafeBytes { open($0, workspace) }
    }

    private func open(_ token: UnsafeRawBufferPointer, _ workspace: FernetWorkspace) -> Result<OpenedValue, OpenFailure>
    {
        let signed = UnsafeRawBufferPointer(rebasing: token.dropLast(FernetToken.signatureCount))
        let signature = UnsafeRawBufferPointer(rebasing: token.suffix(FernetToken.signatureCount))
        guard let given = signature.baseAddress,
            let key = keys.first(where: { areEqual(workspace.sign(signed, key: $0), given, count: signature.count) }),
            let plaintext = decrypt(signed, key: key, workspace)
        else { return .failure(.authenticationFailed) }
        let timestamp = UInt64(bigEndian: token.loadUnaligned(fromByteOffset: 1, as: UInt64.self))
        return .success(
            OpenedValue(plaintext: plaintext, key: key.id, attributes: ValueAttributes(timestamp: timestamp)))
    }

    /// Decrypts what has been authenticated; nil where even so the padding is wrong.
    private func decrypt(_ signed: UnsafeRawBufferPointer, key: FernetKey, _ workspace: FernetWorkspace) -> Bytes? {
        let body = UnsafeRawBufferPointer(rebasing: signed[FernetToken.bodyOffset...])
        var isDecrypted = false
        let plaintext = Bytes(unsafeUninitializedCapacity: body.count) { memory, count in
            guard let output = memory.baseAddress, let base = signed.baseAddress else { return }
            let written = key.encryption.withExposedBytes { secret in
                secret.baseAddress.flatMap {
                    workspace.cipher.decrypt(body, key: $0, vector: base + FernetToken.vectorOffset, into: output)
                }
            }
            isDecrypted = written != nil
            if !isDecrypted { erase(UnsafeMutableRawBufferPointer(start: output, count: body.count)) }
            count = written ?? 0
        }
        return isDecrypted ? plaintext : nil
    }
}
