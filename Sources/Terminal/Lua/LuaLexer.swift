/// Splits text of Lua 5.4 into tokens, for colour and for what must be known of a line without running it.
///
/// Takes any text; what is no token of Lua is a symbol. Positions count characters.
package struct LuaLexer: Sendable {
    /// A token.
    package struct Token: Hashable, Sendable {
        /// What it is.
        package let kind: Kind
        /// Where it stands.
        package let range: Range<Int>
        /// Whether its end is missing: a string or a comment that the text breaks off in.
        package let isOpen: Bool
    }

    /// What a token is.
    package enum Kind: Hashable, Sendable {
        /// A reserved word.
        case keyword
        /// Any other name.
        case name
        /// A number.
        case number
        /// A string, short or long.
        case string
        /// A comment, short or long.
        case comment
        /// Anything else, a character at a time.
        case symbol
    }

    private let bytes: [UInt8]
    private let characters: [Character]

    /// Takes a text.
    package init(_ characters: [Character]) {
        self.characters = characters
        bytes = characters.map { $0.asciiValue ?? 0xFF }
    }

    private static let keywords: Set<String> = [
        "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
        "not", "or", "repeat", "return", "then", "true", "until", "while",
    ]

    /// The first token that is no comment, as it stands there; nil in an empty text.
    package var first: String? { tokens.first { $0.kind != .comment }.map { String(characters[$0.range]) } }

    /// The tokens, in order.
    package var tokens: [Token] {
        var tokens: [Token] = []
        var place = 0
        while place < bytes.count {
            let byte = bytes[place]
            if byte == 0x20 || (0x09...0x0D).contains(byte) {
                place += 1
                continue
            }
            let token = token(at: place, byte)
            tokens.append(token)
            place = token.range.upperBound
        }
        return tokens
    }

    /// The text of a token.
    package func text(of token: Token) -> String { String(characters[token.range]) }

    private func token(at start: Int, _ byte: UInt8) -> Token {
        if Self.isNameStart(byte) { return name(at: start) }
        if Self.isDigit(byte) || (byte == UInt8(ascii: ".") && Self.isDigit(at(start + 1))) { return number(at: start) }
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return shortString(at: start, quote: byte)
        case UInt8(ascii: "["):
            if let level = longLevel(at: start) { return long(.string, from: start, body: start + level + 2, level) }
        case UInt8(ascii: "-") where at(start + 1) == UInt8(ascii: "-"): return comment(at: start)
        default: break
        }
        return Token(kind: .symbol, range: start..<start + 1, isOpen: false)
    }

    private func at(_ place: Int) -> UInt8 { place < bytes.count ? bytes[place] : 0 }

    private func name(at start: Int) -> Token {
        let end = bytes[start...].firstIndex { !Self.isNameStart($0) && !Self.isDigit($0) } ?? bytes.count
        let word = String(decoding: bytes[start..<end], as: UTF8.self)
        return Token(kind: Self.keywords.contains(word) ? .keyword : .name, range: start..<end, isOpen: false)
    }

    private func number(at start: Int) -> Token {
        var end = start + 1
        while end < bytes.count {
            let isSign = (bytes[end] == UInt8(ascii: "+") || bytes[end] == UInt8(ascii: "-"))
            let isAfterExponent = "eEpP".utf8.contains(bytes[end - 1])
            guard
                Self.isDigit(bytes[end]) || Self.isNameStart(bytes[end]) || bytes[end] == UInt8(ascii: ".")
                    || (isSign && isAfterExponent)
            else { break }
            end += 1
        }
        return Token(kind: .number, range: start..<end, isOpen: false)
    }

    private func shortString(at start: Int, quote: UInt8) -> Token {
        var place = start + 1
        while place < bytes.count {
            switch bytes[place] {
            case quote: return Token(kind: .string, range: start..<place + 1, isOpen: false)
            case UInt8(ascii: "\\"): place += at(place + 1) == UInt8(ascii: "z") ? skipped(from: place + 2) : 2
            // A string that a line breaks off in is wrong, not unfinished.
            case 0x0A: return Token(kind: .string, range: start..<place, isOpen: false)
            default: place += 1
            }
        }
        return Token(kind: .string, range: start..<bytes.count, isOpen: true)
    }

    /// How far `\z` at two places before `start` reaches: itself and the white space after it.
    private func skipped(from start: Int) -> Int {
        let end = start < bytes.count ? bytes[start...].firstIndex { !($0 == 0x20 || (0x09...0x0D).contains($0)) } : nil
        return (end ?? max(start, bytes.count)) - start + 2
    }

    private func comment(at start: Int) -> Token {
        if at(start + 2) == UInt8(ascii: "["), let level = longLevel(at: start + 2) {
            return long(.comment, from: start, body: start + level + 4, level)
        }
        let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
        return Token(kind: .comment, range: start..<end, isOpen: false)
    }

    /// How many equal signs stand between two opening brackets; nil where no second one does.
    private func longLevel(at start: Int) -> Int? {
        let end = bytes[(start + 1)...].firstIndex { $0 != UInt8(ascii: "=") } ?? bytes.count
        return at(end) == UInt8(ascii: "[") ? end - start - 1 : nil
    }

    private func long(_ kind: Kind, from start: Int, body: Int, _ level: Int) -> Token {
        let close = [UInt8(ascii: "]")] + [UInt8](repeating: UInt8(ascii: "="), count: level) + [UInt8(ascii: "]")]
        var place = body
        while place + close.count <= bytes.count {
            if bytes[place] == close[0], bytes[place..<place + close.count].elementsEqual(close) {
                return Token(kind: kind, range: start..<place + close.count, isOpen: false)
            }
            place += 1
        }
        return Token(kind: kind, range: start..<bytes.count, isOpen: true)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    private static func isNameStart(_ byte: UInt8) -> Bool {
        (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == UInt8(ascii: "_")
    }
}
