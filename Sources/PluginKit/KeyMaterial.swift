public import KeyModel

/// The unwrapped material of one key version, shared by reference so that there is one copy of it.
public final class KeyMaterial: Sendable {
    /// The version it belongs to.
    public let id: KeyID
    private let secret: SecretBytes

    /// The sizes a version's material may have, in bytes.
    public static let sizes = 1...256

    /// Takes over the material of a version.
    public init(id: KeyID, secret: consuming SecretBytes) {
        self.id = id
        self.secret = secret
    }

    /// How many bytes of material there are.
    public var count: Int { secret.count }

    /// Lends the secret for the length of the call.
    public func withSecret<Result: ~Copyable, Failure: Error>(
        _ body: (borrowing SecretBytes) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(secret)
    }

    /// Lends the secret for the length of an asynchronous call.
    public func withSecret<Result, Failure: Error>(
        _ body: (borrowing SecretBytes) async throws(Failure) -> Result
    ) async throws(Failure) -> Result {
        try await body(secret)
    }

    /// Lends the bytes; they must not be kept, logged or copied into ordinary memory beyond the call.
    public func withExposedBytes<Result: ~Copyable, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try secret.withExposedBytes(body)
    }
}
