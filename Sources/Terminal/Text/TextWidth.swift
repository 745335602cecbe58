extension StringProtocol {
    /// How many cells of a terminal the text takes: wide characters two, combining ones none.
    package var terminalWidth: Int {
        let isPrintableASCII = utf8.allSatisfy { (0x20..<0x7F).contains($0) }
        return isPrintableASCII ? utf8.count : reduce(0) { $0 + $1.terminalWidth }
    }

    /// The text with everything escaped that a terminal would obey rather than show.
    ///
    /// Line breaks and tabs become `\n`, `\r` and `\t`, other control characters, line separators and invisible marks
    /// (direction overrides among them) `\u{…}`. The two joiners that scripts and emoji need stay.
    package var escapedForTerminal: String {
        guard unicodeScalars.contains(where: \.needsEscape) else { return String(self) }
        var result = ""
        for scalar in unicodeScalars {
            switch scalar {
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.needsEscape: result += "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// The text held to `width` cells; where something had to go, an ellipsis stands in the last cell.
    package func truncated(to width: Int) -> String {
        guard width > 0 else { return "" }
        var cells = 0
        var end = startIndex
        for index in indices {
            cells += self[index].terminalWidth
            if cells > width { return self[..<end] + "…" }
            if cells < width { end = self.index(after: index) }
        }
        return String(self)
    }

    /// The text held to `width` cells and filled up with spaces.
    func padded(to width: Int, alignment: Table.Alignment) -> String {
        let text = truncated(to: width)
        let space = String(repeating: " ", count: Swift.max(0, width - text.terminalWidth))
        return alignment == .left ? text + space : space + text
    }
}

extension Character {
    /// How many cells of a terminal the character takes, 0…2.
    ///
    /// A character of several scalars is as wide as its widest, since the others combine with it; the emoji selector
    /// U+FE0F makes a symbol wide.
    var terminalWidth: Int {
        var width = 0
        var isSymbol = false
        for scalar in unicodeScalars {
            if scalar == "\u{FE0F}", isSymbol { return 2 }
            isSymbol = scalar.properties.isEmoji
            width = max(width, scalar.terminalWidth)
        }
        return width
    }
}

extension Unicode.Scalar {
    fileprivate var needsEscape: Bool {
        switch properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator, .surrogate: true
        case .format: self != "\u{200C}" && self != "\u{200D}"
        default: false
        }
    }

    fileprivate var terminalWidth: Int {
        if value < 0x300 { return (0x20..<0x7F).contains(value) || (value >= 0xA0 && value != 0xAD) ? 1 : 0 }
        switch properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format, .control, .lineSeparator, .paragraphSeparator: return 0
        default: return properties.isEmojiPresentation || isWide ? 2 : 1
        }
    }

    /// Whether the scalar stands in a block whose characters are wide or full-width (Unicode Standard Annex 11).
    private var isWide: Bool {
        guard value >= 0x1100 else { return false }
        return Self.wideBlocks.contains { $0.contains(value) }
    }

    /// Hangul letters, CJK with its radicals, kana and signs, Yi, full-width forms, Tangut and Nushu, the ideographic planes.
    private static let wideBlocks: [ClosedRange<UInt32>] = [
        0x1100...0x115F, 0x2329...0x232A, 0x2E80...0x303E, 0x3041...0x4DBF, 0x4E00...0xA4CF, 0xA960...0xA97C,
        0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE10...0xFE19, 0xFE30...0xFE6B, 0xFF01...0xFF60, 0xFFE0...0xFFE6,
        0x16FE0...0x18DF2, 0x1AFF0...0x1B2FB, 0x1F200...0x1F265, 0x20000...0x3FFFD,
    ]
}
