public import KeyModel
internal import LibCrypto
public import PluginKit

extension Fernet {
    /// Seals values under one key; the initialisation vectors of a batch are drawn together.
    ///
    /// A value without a timestamp gets the time of its batch.
    public func seal(_ items: [PlainItem], with key: KeyID) -> [Result<StoredValue, SealFailure>] {
        guard let key = keys.first(where: { $0.id == key }) else { return items.map { _ in .failure(.unknownKey) } }
        let total = items.count * FernetToken.vectorCount
        let vectors = Bytes(unsafeUninitializedCapacity: total) { memory, count in
            count =
                fillWithRandomBytes(UnsafeMutableRawBufferPointer(start: memory.baseAddress, count: total)) ? total : 0
        }
        guard vectors.count == total else { return items.map { _ in .failure(.internalFailure) } }
        let now = clock()
        return pool.withWorkspace { workspace in
            defer { workspace.forget() }
            return items.indices.map { index in
                let vector = vectors[(index * FernetToken.vectorCount)...].prefix(FernetToken.vectorCount)
                return seal(items[index], vector: vector, now: now, key: key, workspace)
            }
        }
    }

    /// Seals under a given vector; for known answers, never for data.
    func seal(
        _ item: PlainItem, vector: ArraySlice<UInt8>, now: UInt64, key: FernetKey, _ workspace: FernetWorkspace
    ) -> Result<StoredValue, SealFailure> {
        guard item.plaintext.count <= FernetToken.maximumPlaintext else { return .failure(.tooLarge) }
        guard item.context.scheme == .none, !item.isDeterministic, !item.attributes.isText,
            item.attributes.others.isEmpty
        else { return .failure(.notExpressible) }
        let timestamp = item.attributes.timestamp ?? now
        let token = token(item.plaintext, vector: vector, timestamp: timestamp, key: key, workspace)
        guard !token.isEmpty else { return .failure(.internalFailure) }
        return .success(StoredValue(Base64.encode(token, alphabet: .url, padding: .padded), as: item.form))
    }

    /// Makes the bytes of a token; empty where the library refused.
    private func token(
        _ plaintext: Bytes, vector: ArraySlice<UInt8>, timestamp: UInt64, key: FernetKey, _ workspace: FernetWorkspace
    ) -> Bytes {
        let total = FernetToken.count(ofPlaintext: plaintext.count)
        return Bytes(unsafeUninitializedCapacity: total) { memory, count in
            guard let base = memory.baseAddress.map(UnsafeMutableRawPointer.init) else { return }
            base.storeBytes(of: FernetToken.version, as: UInt8.self)
            base.storeBytes(of: timestamp.bigEndian, toByteOffset: 1, as: UInt64.self)
            vector.withUnsafeBytes {
                UnsafeMutableRawBufferPointer(start: base + FernetToken.vectorOffset, count: FernetToken.vectorCount)
                    .copyMemory(from: $0)
            }
            let written = key.encryption.withExposedBytes { secret in
                plaintext.withUnsafeBytes { bytes in
                    secret.baseAddress.flatMap {
                        workspace.cipher.encrypt(
                            bytes, key: $0, vector: base + FernetToken.vectorOffset, into: base + FernetToken.bodyOffset
                        )
                    }
                }
            }
            guard written == total - FernetToken.overhead else { return }
            let signed = UnsafeRawBufferPointer(start: base, count: total - FernetToken.signatureCount)
            (base + signed.count).copyMemory(
                from: workspace.sign(signed, key: key), byteCount: FernetToken.signatureCount)
            count = total
        }
    }
}
