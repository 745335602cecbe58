public import KeyModel
internal import LibCrypto
public import PluginKit

extension KR1 {
    /// Seals values under one key; the salts of a batch are drawn together.
    public func seal(_ items: [PlainItem], with key: KeyID) -> [Result<StoredValue, SealFailure>] {
        guard let key = keys[key] else { return items.map { _ in .failure(.unknownKey) } }
        return pool.withWorkspace { workspace in
            defer { workspace.forget() }
            return drawSalts(for: items).withUnsafeBytes { salts in
                items.indices.map { index in
                    let salt = salts.isEmpty ? nil : salts.baseAddress.map { $0 + index * KR1Layout.saltCount }
                    return seal(items[index], salt: salt, key: key, workspace)
                }
            }
        }
    }

    /// Draws a salt for each item; empty where none is needed or the generator failed.
    private func drawSalts(for items: [PlainItem]) -> Bytes {
        guard items.contains(where: { !$0.isDeterministic }) else { return [] }
        let total = items.count * KR1Layout.saltCount
        return Bytes(unsafeUninitializedCapacity: total) { memory, count in
            count =
                fillWithRandomBytes(UnsafeMutableRawBufferPointer(start: memory.baseAddress, count: total)) ? total : 0
        }
    }

    private func seal(
        _ item: PlainItem, salt: UnsafeRawPointer?, key: KR1Key, _ workspace: KR1Workspace
    ) -> Result<StoredValue, SealFailure> {
        guard item.plaintext.count <= KR1Layout.maximumPlaintext else { return .failure(.tooLarge) }
        guard item.attributes.timestamp == nil, item.attributes.others.isEmpty else {
            return .failure(.notExpressible)
        }
        var flags: KR1Flags = item.attributes.isText ? .text : []
        if item.isDeterministic { flags.insert(.deterministic) }
        let head = KR1Head(flags: flags, scheme: item.context.scheme, key: key.id)
        guard let value = sealedBytes(item, head: head, salt: salt, key: key, workspace) else {
            return .failure(.internalFailure)
        }
        return .success(item.form == .blob ? .blob(value) : .text(KR1TextForm.text(of: value, key: key.id)))
    }

    private func sealedBytes(
        _ item: PlainItem, head: KR1Head, salt: UnsafeRawPointer?, key: KR1Key, _ workspace: KR1Workspace
    ) -> Bytes? {
        let total = item.plaintext.count + KR1Layout.overhead
        let value = Bytes(unsafeUninitializedCapacity: total) { memory, count in
            guard let base = memory.baseAddress.map(UnsafeMutableRawPointer.init) else { return }
            let isSealed = item.plaintext.withUnsafeBytes { plaintext in
                head.write(to: base)
                let place = base + KR1Layout.saltOffset
                if item.isDeterministic {
                    let synthetic = workspace.synthesizeSalt(base, context: item.context, message: plaintext, key: key)
                    place.copyMemory(from: synthetic, byteCount: KR1Layout.saltCount)
                } else {
                    guard let salt else { return false }
                    place.copyMemory(from: salt, byteCount: KR1Layout.saltCount)
                }
                workspace.derive(base, context: item.context, key: key)
                return encrypt(plaintext, into: base, workspace)
            }
            count = isSealed ? total : 0
        }
        return value.isEmpty ? nil : value
    }

    private func encrypt(
        _ plaintext: UnsafeRawBufferPointer, into value: UnsafeMutableRawPointer, _ workspace: KR1Workspace
    ) -> Bool {
        (value + KR1Layout.derivedCount).copyMemory(from: workspace.commitment, byteCount: KR1Layout.commitmentCount)
        let body = value + KR1Layout.headerCount
        return workspace.cipher.seal(
            plaintext, key: workspace.messageKey, nonce: workspace.nonce,
            authenticating: UnsafeRawBufferPointer(start: value, count: KR1Layout.headerCount), into: body,
            tag: body + plaintext.count
        )
    }
}
