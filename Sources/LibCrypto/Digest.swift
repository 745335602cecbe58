internal import COpenSSL

/// The hash functions that cores use, as running states in memory of the caller's choice.
package enum Digest: Sendable {
    /// SHA-256 (FIPS 180-4).
    case sha256
    /// SHA-512 (FIPS 180-4).
    case sha512

    /// The size of a result in bytes: 32 or 64.
    package var size: Int {
        switch self {
        case .sha256: 32
        case .sha512: 64
        }
    }

    /// The size of a block in bytes: 64 or 128.
    package var blockSize: Int {
        switch self {
        case .sha256: 64
        case .sha512: 128
        }
    }

    /// The size of a running state in bytes, rounded up to 16.
    package var stateSize: Int {
        switch self {
        case .sha256: (MemoryLayout<SHA256_CTX>.size + 15) & ~15
        case .sha512: (MemoryLayout<SHA512_CTX>.size + 15) & ~15
        }
    }

    /// The size of the largest state of all.
    package static let largestStateSize = Digest.sha512.stateSize

    /// Begins a message in `state`, which has ``stateSize`` bytes at an address divisible by 16.
    package func begin(_ state: UnsafeMutableRawPointer) {
        switch self {
        case .sha256: _ = SHA256_Init(state.assumingMemoryBound(to: SHA256_CTX.self))
        case .sha512: _ = SHA512_Init(state.assumingMemoryBound(to: SHA512_CTX.self))
        }
    }

    /// Adds bytes to the message in `state`.
    package func absorb(_ bytes: UnsafeRawBufferPointer, into state: UnsafeMutableRawPointer) {
        switch self {
        case .sha256: _ = SHA256_Update(state.assumingMemoryBound(to: SHA256_CTX.self), bytes.baseAddress, bytes.count)
        case .sha512: _ = SHA512_Update(state.assumingMemoryBound(to: SHA512_CTX.self), bytes.baseAddress, bytes.count)
        }
    }

    /// Ends the message and writes ``size`` bytes; the state is used up.
    package func finish(_ state: UnsafeMutableRawPointer, into result: UnsafeMutableRawPointer) {
        let output = result.assumingMemoryBound(to: UInt8.self)
        switch self {
        case .sha256: _ = SHA256_Final(output, state.assumingMemoryBound(to: SHA256_CTX.self))
        case .sha512: _ = SHA512_Final(output, state.assumingMemoryBound(to: SHA512_CTX.self))
        }
    }
}
