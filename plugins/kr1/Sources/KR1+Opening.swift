internal import KeyModel
internal import LibCrypto
public import PluginKit

extension KR1 {
    /// Opens values; the key is the one that a value names, and none else is tried.
    public func open(_ items: [SealedItem]) -> [Result<OpenedValue, OpenFailure>] {
        pool.withWorkspace { workspace in
            defer { workspace.forget() }
            var recent: KR1Key?
            return items.map { open($0, recent: &recent, workspace) }
        }
    }

    private func open(
        _ item: SealedItem, recent: inout KR1Key?, _ workspace: KR1Workspace
    ) -> Result<OpenedValue, OpenFailure> {
        let longest = maximumStoredLength(plaintextBytes: KR1Layout.maximumPlaintext, form: item.value.form ?? .blob)
        guard item.value.bytes.map({ $0.count <= longest }) ?? true else { return .failure(.tooLarge) }
        switch item.value {
        case .null, .other: return .failure(.malformed)
        case .blob(let value): return open(value, context: item.context, recent: &recent, workspace)
        case .text(let text):
            guard let value = KR1TextForm.value(of: text) else { return .failure(.malformed) }
            return open(value, context: item.context, recent: &recent, workspace)
        }
    }

    private func open(
        _ value: Bytes, context: ValueContext, recent: inout KR1Key?, _ workspace: KR1Workspace
    ) -> Result<OpenedValue, OpenFailure> {
        value.withUnsafeBytes { bytes in
            guard let head = KR1Head(bytes), let base = bytes.baseAddress else { return .failure(.malformed) }
            // Most values of a batch have the same key, which saves a lookup.
            if recent?.id != head.key { recent = keys[head.key] }
            guard let key = recent else { return .failure(.unknownKey) }
            // A caller who says where a value stands must not be given one that says it may stand anywhere.
            guard head.scheme == context.scheme else { return .failure(.contextMismatch) }
            workspace.derive(base, context: context, key: key)
            guard areEqual(workspace.commitment, base + KR1Layout.derivedCount, count: KR1Layout.commitmentCount) else {
                return .failure(.contextMismatch)
            }
            guard let message = decrypt(bytes, workspace) else { return .failure(.authenticationFailed) }
            return finish(message, of: bytes, head: head, context: context, key: key, workspace)
        }
    }

    private func decrypt(_ value: UnsafeRawBufferPointer, _ workspace: KR1Workspace) -> Bytes? {
        let count = value.count - KR1Layout.overhead
        // One byte more than needed, so that there is always an address.
        var message = Bytes(repeating: 0, count: count + 1)
        let isAuthentic = message.withUnsafeMutableBytes { memory in
            guard let output = memory.baseAddress, let base = value.baseAddress else { return false }
            let body = UnsafeRawBufferPointer(start: base + KR1Layout.headerCount, count: count)
            let isAuthentic = workspace.cipher.open(
                body, key: workspace.messageKey, nonce: workspace.nonce,
                authenticating: UnsafeRawBufferPointer(start: base, count: KR1Layout.headerCount),
                tag: base + KR1Layout.headerCount + count, into: output
            )
            if !isAuthentic { erase(memory) }
            return isAuthentic
        }
        message.removeLast()
        return isAuthentic ? message : nil
    }

    /// Checks a synthetic salt, and inflates.
    private func finish(
        _ message: Bytes, of value: UnsafeRawBufferPointer, head: KR1Head, context: ValueContext, key: KR1Key,
        _ workspace: KR1Workspace
    ) -> Result<OpenedValue, OpenFailure> {
        if head.flags.contains(.deterministic), let base = value.baseAddress {
            let isRight = message.withUnsafeBytes { bytes in
                let salt = workspace.synthesizeSalt(base, context: context, message: bytes, key: key)
                return areEqual(salt, base + KR1Layout.saltOffset, count: KR1Layout.saltCount)
            }
            guard isRight else { return .failure(.authenticationFailed) }
        }
        let plaintext: Bytes
        if head.flags.contains(.deflated) {
            switch inflated(message, limit: KR1Layout.maximumPlaintext) {
            case .failure(let failure): return .failure(failure)
            case .success(let bytes): plaintext = bytes
            }
        } else {
            plaintext = message
        }
        let attributes = ValueAttributes(isText: head.flags.contains(.text))
        return .success(
            OpenedValue(
                plaintext: plaintext, key: key.id, attributes: attributes,
                isDeterministic: head.flags.contains(.deterministic)
            )
        )
    }
}
