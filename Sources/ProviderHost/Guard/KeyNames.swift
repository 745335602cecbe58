/// The names that a provider gives its key, one after the other; pure.
///
/// A key that was left does not come back: what it wrapped could then not be told from what another of its name wraps.
struct KeyNames {
    private var current: String?
    /// When each of the others was left.
    private var left: [String: Duration] = [:]

    /// More names than this begin anew.
    private static let capacity = 1024

    /// Takes the name in an answer.
    ///
    /// - Parameters:
    ///   - name: The name.
    ///   - begin: When the call had begun; it may name a key that was left since.
    ///   - now: When the answer came.
    /// - Returns: Whether it may be so named.
    mutating func take(_ name: String, asked begin: Duration, at now: Duration) -> Bool {
        guard name != current else { return true }
        if let time = left[name] { return begin < time }
        if left.count >= Self.capacity { left = [:] }
        if let current { left[current] = now }
        current = name
        return true
    }
}
