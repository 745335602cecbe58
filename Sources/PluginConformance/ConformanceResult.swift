/// How one check of a conformance suite went.
public struct ConformanceResult: Hashable, Sendable, CustomStringConvertible {
    /// What is claimed.
    public let name: String
    /// Why the claim does not hold; nil where it does.
    public let failure: String?

    /// Makes a result.
    public init(name: String, failure: String?) {
        self.name = name
        self.failure = failure
    }

    /// Whether the claim holds.
    public var isPass: Bool { failure == nil }

    /// One line: `pass`, or `FAIL` with the reason.
    public var description: String {
        guard let failure else { return "pass  \(name)" }
        return "FAIL  \(name): \(failure)"
    }
}

/// Why a claim does not hold.
struct Broken: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

/// Ends a check where a condition does not hold.
func require(_ condition: Bool, _ reason: @autoclosure () -> String) throws(Broken) {
    guard condition else { throw Broken(reason()) }
}
