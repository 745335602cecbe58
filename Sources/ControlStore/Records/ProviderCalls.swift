/// How often a provider was called.
package struct ProviderCalls: Hashable, Sendable {
    /// Keys that it wrapped.
    package var wraps: Int64
    /// Keys that it unwrapped.
    package var unwraps: Int64
    /// Questions about its own key.
    package var looks: Int64
    /// Tests from end to end.
    package var tests: Int64
    /// New keys that it was asked to make.
    package var turns: Int64

    /// Counts.
    package init(wraps: Int64 = 0, unwraps: Int64 = 0, looks: Int64 = 0, tests: Int64 = 0, turns: Int64 = 0) {
        self.wraps = wraps
        self.unwraps = unwraps
        self.looks = looks
        self.tests = tests
        self.turns = turns
    }

    /// Takes over counts by the names of calls; what asks nobody outside is left out.
    package init(_ counts: [String: Int64]) {
        self.init(
            wraps: counts["wrap"] ?? 0, unwraps: counts["unwrap"] ?? 0, looks: counts["describe"] ?? 0,
            tests: counts["test"] ?? 0, turns: counts["rotate"] ?? 0)
    }

    /// All of them.
    package var total: Int64 { wraps + unwraps + looks + tests + turns }

    /// Whether there were none.
    package var isNone: Bool { total == 0 }

    /// Both together.
    package static func + (left: ProviderCalls, right: ProviderCalls) -> ProviderCalls {
        ProviderCalls(
            wraps: left.wraps + right.wraps, unwraps: left.unwraps + right.unwraps, looks: left.looks + right.looks,
            tests: left.tests + right.tests, turns: left.turns + right.turns)
    }
}
