internal import LibCrypto
internal import PluginKit

/// The cipher context and the working memory of one batch at a time.
final class KR1Workspace {
    let cipher: CipherContext
    private let memory: UnsafeMutableRawBufferPointer
    private let state: UnsafeMutableRawPointer
    private let derived: UnsafeMutableRawPointer
    private let salt: UnsafeMutableRawPointer
    /// What is hashed for a message: the label, the beginning of the value, the place, the block counter of HKDF-Expand.
    private var message = KR1Workspace.messageLabel + Bytes(repeating: 0, count: KR1Layout.derivedCount)
    /// The place that ``message`` ends with; most values of a batch have the same one.
    private var place: ValueContext?
    /// The nonce: always zeros, since every message has a key of its own.
    let nonce: UnsafeRawPointer

    private static let messageLabel = Bytes("KR1 aes-256-gcm\0".utf8)
    private static let saltLabel = Bytes("KR1 det\0".utf8)

    init?() {
        guard let cipher = CipherContext(.aes256GCM) else { return nil }
        self.cipher = cipher
        let stateCount = Digest.largestStateSize
        memory = .allocate(byteCount: stateCount + 64 + 32 + 16, alignment: 16)
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        state = memory.baseAddress.unsafelyUnwrapped
        derived = state + stateCount
        salt = derived + 64
        nonce = UnsafeRawPointer(salt + 32)
    }

    deinit {
        erase(memory)
        memory.deallocate()
    }

    /// The key of the message derived last, 32 bytes.
    var messageKey: UnsafeRawPointer { UnsafeRawPointer(derived) }
    /// The commitment of the message derived last, 32 bytes.
    var commitment: UnsafeRawPointer { UnsafeRawPointer(derived + 32) }

    /// Derives message key and commitment from the first 24 bytes of a value and its place.
    func derive(_ start: UnsafeRawPointer, context: ValueContext, key: KR1Key) {
        if place != context { take(context) }
        key.messages.begin(state)
        message.withUnsafeMutableBytes { bytes in
            let head = UnsafeMutableRawBufferPointer(
                rebasing: bytes[Self.messageLabel.count...].prefix(KR1Layout.derivedCount))
            head.copyMemory(from: UnsafeRawBufferPointer(start: start, count: KR1Layout.derivedCount))
            key.messages.absorb(UnsafeRawBufferPointer(bytes), into: state)
        }
        key.messages.finish(state, into: derived)
    }

    private func take(_ context: ValueContext) {
        message.removeLast(message.count - Self.messageLabel.count - KR1Layout.derivedCount)
        message += Self.encoded(context)
        message.append(1)
        place = context
    }

    /// Derives the salt of a deterministic value from its first 8 bytes, its place and what is to
    /// be encrypted.
    ///
    /// - Returns: 16 bytes that last until the next call.
    func synthesizeSalt(
        _ start: UnsafeRawPointer, context: ValueContext, message: UnsafeRawBufferPointer, key: KR1Key
    ) -> UnsafeRawPointer {
        key.salts.begin(state)
        Self.saltLabel.withUnsafeBytes { key.salts.absorb($0, into: state) }
        key.salts.absorb(UnsafeRawBufferPointer(start: start, count: KR1Layout.saltOffset), into: state)
        Self.encoded(context).withUnsafeBytes { key.salts.absorb($0, into: state) }
        key.salts.absorb(message, into: state)
        key.salts.finish(state, into: salt)
        return UnsafeRawPointer(salt)
    }

    /// Overwrites what is left of the last message.
    func forget() {
        erase(memory)
        cipher.forgetKey()
        place = nil
    }

    /// `u32 count || (u32 length || bytes)*`, so that no two lists of components give the same bytes.
    private static func encoded(_ context: ValueContext) -> Bytes {
        context.components.reduce(into: bytes(of: context.components.count)) { encoded, component in
            encoded += bytes(of: component.count)
            encoded += component
        }
    }

    private static func bytes(of number: Int) -> Bytes {
        withUnsafeBytes(of: UInt32(clamping: number).bigEndian) { Bytes($0) }
    }
}
