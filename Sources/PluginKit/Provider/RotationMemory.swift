/// Remembers which key was made at which request, so that a request that is repeated makes no second one.
///
/// It remembers for as long as it lives; a provider whose keys are kept elsewhere may do better there.
public actor RotationMemory {
    private typealias Attempt = Task<Result<ProviderKey, ProviderError>, Never>

    private var attempts: [String: Attempt] = [:]
    private var order: [String] = []

    /// How many requests it remembers.
    private static let capacity = 64

    /// Makes an empty memory.
    public init() {}

    /// Makes a key, unless this request has made one or is about to; a request that failed is made again.
    ///
    /// - Parameters:
    ///   - call: The request; without an idempotency key it is never taken for a repeated one.
    ///   - rotate: Makes the key; it comes to its end even where the caller gives up.
    /// - Returns: The key that the request has made.
    /// - Throws: `ProviderError`, as `rotate` does.
    public func once(
        _ call: ProviderCall, _ rotate: @escaping @Sendable () async throws(ProviderError) -> ProviderKey
    ) async throws(ProviderError) -> ProviderKey {
        let request = call.idempotencyKey
        guard !request.isEmpty else { return try await rotate() }
        if let known = attempts[request] { return try await known.value.get() }
        let attempt = Task { await Self.result(of: rotate) }
        attempts[request] = attempt
        let result = await attempt.value
        switch result {
        case .success: remember(request)
        case .failure: attempts[request] = nil
        }
        return try result.get()
    }

    private func remember(_ request: String) {
        order.append(request)
        if order.count > Self.capacity { attempts[order.removeFirst()] = nil }
    }

    private static func result(
        of rotate: @Sendable () async throws(ProviderError) -> ProviderKey
    ) async -> Result<ProviderKey, ProviderError> {
        do throws(ProviderError) { return .success(try await rotate()) } catch { return .failure(error) }
    }
}
