internal import COpenSSL

/// Overwrites memory in a way that the compiler does not leave out.
package func erase(_ memory: UnsafeMutableRawBufferPointer) {
    OPENSSL_cleanse(memory.baseAddress, memory.count)
}

/// Compares `count` bytes in a time that does not depend on what they are.
package func areEqual(_ left: UnsafeRawPointer, _ right: UnsafeRawPointer, count: Int) -> Bool {
    CRYPTO_memcmp(left, right, count) == 0
}

/// Fills memory from the library's random generator.
///
/// - Returns: Whether it could; where not, the memory must not be used.
package func fillWithRandomBytes(_ memory: UnsafeMutableRawBufferPointer) -> Bool {
    guard let base = memory.baseAddress, !memory.isEmpty else { return true }
    return RAND_bytes(base.assumingMemoryBound(to: UInt8.self), Int32(clamping: memory.count)) == 1
        && memory.count <= Int(Int32.max)
}
