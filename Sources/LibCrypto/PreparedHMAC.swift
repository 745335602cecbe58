internal import COpenSSL
internal import PluginKit

/// HMAC (RFC 2104) with a key that is hashed once and used for many messages.
///
/// The two states that stand for the key lie in locked memory. Any number of threads may use one
/// prepared key, each with working memory of its own.
package struct PreparedHMAC: ~Copyable, Sendable {
    /// The hash function.
    package let digest: Digest
    private let states: SecretBytes

    /// Hashes the key, of any length.
    package init(_ digest: Digest, key: UnsafeRawBufferPointer) {
        self.digest = digest
        let stateSize = digest.stateSize
        states = SecretBytes(count: 2 * stateSize) { memory in
            guard let inner = memory.baseAddress else { return }
            Self.prepare(digest, key: key, inner: inner, outer: inner + stateSize)
        }
    }

    /// Begins a message in working memory of ``Digest/stateSize`` bytes.
    package func begin(_ state: UnsafeMutableRawPointer) {
        states.withExposedBytes {
            state.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: digest.stateSize)
        }
    }

    /// Adds bytes to the message.
    package func absorb(_ bytes: UnsafeRawBufferPointer, into state: UnsafeMutableRawPointer) {
        digest.absorb(bytes, into: state)
    }

    /// Ends the message and writes the result of ``Digest/size`` bytes; the state is used up.
    package func finish(_ state: UnsafeMutableRawPointer, into result: UnsafeMutableRawPointer) {
        digest.finish(state, into: result)
        states.withExposedBytes {
            state.copyMemory(from: $0.baseAddress.unsafelyUnwrapped + digest.stateSize, byteCount: digest.stateSize)
        }
        digest.absorb(UnsafeRawBufferPointer(start: result, count: digest.size), into: state)
        digest.finish(state, into: result)
    }

    private static func prepare(
        _ digest: Digest, key: UnsafeRawBufferPointer, inner: UnsafeMutableRawPointer, outer: UnsafeMutableRawPointer
    ) {
        withUnsafeTemporaryAllocation(byteCount: digest.blockSize, alignment: 16) { block in
            guard let base = block.baseAddress else { return }
            block.initializeMemory(as: UInt8.self, repeating: 0)
            if key.count > digest.blockSize {
                digest.begin(inner)
                digest.absorb(key, into: inner)
                digest.finish(inner, into: base)
            } else {
                block.copyMemory(from: key)
            }
            for index in block.indices { block[index] ^= 0x36 }
            digest.begin(inner)
            digest.absorb(UnsafeRawBufferPointer(block), into: inner)
            for index in block.indices { block[index] ^= 0x36 ^ 0x5C }
            digest.begin(outer)
            digest.absorb(UnsafeRawBufferPointer(block), into: outer)
            erase(block)
        }
    }
}
