internal import Terminal

/// A file of Lua in which lines of its own may be commands of the console.
package struct ScriptText: Sendable {
    /// A piece of it.
    package enum Piece: Hashable, Sendable {
        /// Lua, with as many empty lines before it as stand before it in the file, so that messages count lines as the file does.
        case lua(String)
        /// A line that begins with a backslash.
        case command(String)
    }

    /// The pieces, in order.
    package let pieces: [Piece]

    /// Splits a text; a backslash within a string or a comment is that string's or comment's.
    package init(_ text: String) {
        // Lua reads both ends of lines alike; to Swift, CR LF is one character of its own.
        let text = text.replacing("\r\n", with: "\n")
        let characters = Array(text)
        guard characters.contains("\\") else {
            pieces = [.lua(text)]
            return
        }
        let held = LuaLexer(characters).tokens.filter { $0.kind == .string || $0.kind == .comment }.map(\.range)
        var pieces: [Piece] = []
        var gathered = ""
        var lineNumber = 0
        var place = 0
        var nextHeld = 0
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            while nextHeld < held.count, held[nextHeld].upperBound <= place { nextHeld += 1 }
            let isHeld = nextHeld < held.count && held[nextHeld].contains(place)
            if line.first == "\\", !isHeld {
                if !gathered.allSatisfy(\.isWhitespace) { pieces.append(.lua(gathered)) }
                gathered = String(repeating: "\n", count: lineNumber + 1)
                pieces.append(.command(String(line)))
            } else {
                gathered += line + "\n"
            }
            place += line.count + 1
            lineNumber += 1
        }
        if !gathered.allSatisfy(\.isWhitespace) { pieces.append(.lua(gathered)) }
        self.pieces = pieces
    }
}
