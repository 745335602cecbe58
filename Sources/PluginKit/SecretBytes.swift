#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// Secret bytes that cannot be copied, printed, encoded or compared by accident.
///
/// They live in pages of their own, locked against swapping where the system allows it, left out of core
/// dumps, and overwritten before they are given back.
public struct SecretBytes: ~Copyable, @unchecked Sendable {
    // Safety: the memory is written only while it is being filled by the initialiser, which owns it alone.
    private let base: UnsafeMutableRawPointer
    private let mappedCount: Int

    /// How many bytes there are, 0…1 048 576.
    public let count: Int

    /// Whether the pages are locked into memory; false where the process may lock no more.
    public let isLocked: Bool

    /// Makes room for `count` bytes and lets `fill` write them.
    ///
    /// - Parameters:
    ///   - count: The number of bytes, 0…1 048 576.
    ///   - fill: Writes them; when it throws, the memory is erased and given back.
    /// - Throws: What `fill` throws.
    public init<Failure: Error>(
        count: Int, filling fill: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        precondition((0...1_048_576).contains(count), "a secret has at most 1 MiB")
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let size = max(1, (count + page - 1) / page) * page
        guard let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            memory != MAP_FAILED
        else {
            preconditionFailure("no memory for a secret of \(count) bytes")
        }
        madvise(memory, size, MADV_DONTDUMP)
        base = memory
        mappedCount = size
        self.count = count
        isLocked = mlock(memory, size) == 0
        try fill(UnsafeMutableRawBufferPointer(start: memory, count: count))
    }

    /// Copies bytes that are already in ordinary memory; the caller erases its own.
    public init(copying bytes: some Collection<UInt8>) {
        self.init(count: bytes.count) { $0.copyBytes(from: bytes) }
    }

    deinit {
        explicit_bzero(base, mappedCount)
        munmap(base, mappedCount)
    }

    /// Lends the bytes; they must not be kept, logged or copied into ordinary memory beyond the call.
    public borrowing func withExposedBytes<Result: ~Copyable, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// Compares two secrets in a time that depends on their lengths alone.
    public borrowing func isEqual(to other: borrowing SecretBytes) -> Bool {
        guard count == other.count else { return false }
        var difference: UInt8 = 0
        for index in 0..<count {
            difference |=
                base.load(fromByteOffset: index, as: UInt8.self)
                ^ other.base.load(fromByteOffset: index, as: UInt8.self)
        }
        return difference == 0
    }
}
