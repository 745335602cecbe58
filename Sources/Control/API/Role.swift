/// What a caller may do; each includes those before it.
package enum Role: String, CaseIterable, Comparable, Sendable {
    /// Looks.
    case viewer
    /// Runs, pauses, backs up.
    case `operator`
    /// Keys, providers, destruction, configuration.
    case serverAdmin = "server_admin"

    /// Orders by what they may do.
    package static func < (left: Role, right: Role) -> Bool { left.rank < right.rank }

    private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}
