internal import LibCrypto
internal import PluginKit

/// The cipher context and the working memory of one batch at a time.
final class FernetWorkspace {
    let cipher: CipherContext
    private let memory: UnsafeMutableRawBufferPointer
    private let state: UnsafeMutableRawPointer
    private let signature: UnsafeMutableRawPointer

    init?() {
        guard let cipher = CipherContext(.aes128CBC) else { return nil }
        self.cipher = cipher
        memory = .allocate(byteCount: Digest.largestStateSize + 32, alignment: 16)
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        state = memory.baseAddress.unsafelyUnwrapped
        signature = state + Digest.largestStateSize
    }

    deinit {
        erase(memory)
        memory.deallocate()
    }

    /// Signs what stands before the signature of a token.
    ///
    /// - Returns: 32 bytes that last until the next call.
    func sign(_ signed: UnsafeRawBufferPointer, key: FernetKey) -> UnsafeRawPointer {
        key.signing.begin(state)
        key.signing.absorb(signed, into: state)
        key.signing.finish(state, into: signature)
        return UnsafeRawPointer(signature)
    }

    /// Overwrites what is left of the last message.
    func forget() {
        erase(memory)
        cipher.forgetKey()
    }
}
