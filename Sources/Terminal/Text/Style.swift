/// How text is set off on a terminal: with colour, or not at all.
package struct Style: Hashable, Sendable {
    /// What a piece of text means to its reader.
    package enum Role: String, CaseIterable, Sendable {
        /// Headers and names.
        case strong
        /// What may be skipped.
        case faint
        /// All is well.
        case good
        /// Somebody should look.
        case warning
        /// Somebody must act.
        case bad
    }

    /// Whether escape sequences are written.
    package let isColored: Bool

    /// Writes text as it is.
    package static let plain = Style(isColored: false)

    /// Makes a style.
    package init(isColored: Bool) { self.isColored = isColored }

    /// Chooses for a stream: colour on a terminal that is not `dumb`, unless `NO_COLOR` holds anything.
    package init(environment: [String: String], isTerminal: Bool) {
        let terminal = environment["TERM"] ?? ""
        let isUnwanted = !(environment["NO_COLOR"] ?? "").isEmpty
        isColored = isTerminal && !isUnwanted && !terminal.isEmpty && terminal != "dumb"
    }

    /// Sets off a text, which must have been escaped already.
    package func apply(_ role: Role, to text: String) -> String {
        guard isColored, !text.isEmpty else { return text }
        return "\u{1B}[\(Self.code(of: role))m\(text)\u{1B}[0m"
    }

    /// Codes of ECMA-48 §8.3.117.
    private static func code(of role: Role) -> Int {
        switch role {
        case .strong: 1
        case .faint: 2
        case .good: 32
        case .warning: 33
        case .bad: 31
        }
    }
}
