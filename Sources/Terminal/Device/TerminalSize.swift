#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

/// How many cells a terminal has.
package struct TerminalSize: Hashable, Sendable {
    /// Cells in a line.
    package let columns: Int
    /// Lines.
    package let rows: Int

    /// What is assumed where nobody says.
    package static let standard = TerminalSize(columns: 80, rows: 24)

    /// Makes a size.
    package init(columns: Int, rows: Int) {
        self.columns = columns
        self.rows = rows
    }

    /// Asks the terminal behind a descriptor, then `COLUMNS` and `LINES`, then takes 80 by 24.
    package init(descriptor: Int32, environment: [String: String]) {
        let answer = Self.ask(descriptor)
        columns = answer?.columns ?? Self.number(environment["COLUMNS"]) ?? Self.standard.columns
        rows = answer?.rows ?? Self.number(environment["LINES"]) ?? Self.standard.rows
    }

    /// Whether a descriptor leads to a terminal.
    package static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    private static func ask(_ descriptor: Int32) -> TerminalSize? {
        var answer = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &answer) == 0, answer.ws_col > 0, answer.ws_row > 0 else {
            return nil
        }
        return TerminalSize(columns: Int(answer.ws_col), rows: Int(answer.ws_row))
    }

    private static func number(_ text: String?) -> Int? {
        guard let text, let number = Int(text), (1...10_000).contains(number) else { return nil }
        return number
    }
}
