/// A text that is being edited, and the cursor in it; positions count characters as people see them.
package struct EditBuffer: Hashable, Sendable {
    /// The characters.
    package private(set) var characters: [Character] = []
    /// How many cells each of them takes as it is shown; none for a line feed, which nothing else takes.
    private(set) var cells: [UInt8] = []
    /// How many characters stand before the cursor.
    package private(set) var cursor = 0

    /// The most characters; what goes beyond is not taken.
    package static let limit = 4 << 20

    /// Makes a text with the cursor behind it.
    package init(_ text: String = "") { insert(text) }

    /// The text.
    package var text: String { String(characters) }
    /// The text before the cursor.
    package var textBeforeCursor: String { String(characters[..<cursor]) }
    /// Whether there is nothing.
    package var isEmpty: Bool { characters.isEmpty }

    /// Moves the cursor, at most to the edges.
    mutating func move(to position: Int) { cursor = min(max(0, position), characters.count) }

    /// Puts text at the cursor and the cursor behind it.
    ///
    /// - Returns: Whether there was room.
    @discardableResult
    mutating func insert(_ text: String) -> Bool { replace(cursor..<cursor, with: text) }

    /// Replaces characters and puts the cursor behind what came in their place.
    ///
    /// A mark that combines joins the character before it. Ends of lines become line feeds.
    @discardableResult
    mutating func replace(_ range: Range<Int>, with text: String) -> Bool {
        let range = range.clamped(to: 0..<characters.count)
        // The neighbours are split anew along with the text, since parts of characters may join them.
        let start = max(0, range.lowerBound - 1)
        let end = min(characters.count, range.upperBound + 1)
        let before = String(characters[start..<range.lowerBound])
        let after = String(characters[range.upperBound..<end])
        let text = text.withPlainLineEnds
        let joined = Array(before + text + after)
        guard characters.count - (end - start) + joined.count <= Self.limit else { return false }
        characters.replaceSubrange(start..<end, with: joined)
        cells.replaceSubrange(start..<end, with: joined.map(\.displayedCells))
        cursor = min(characters.count, start + (before + text).count)
        return true
    }

    /// Removes characters and hands them out.
    mutating func remove(_ range: Range<Int>) -> String {
        let range = range.clamped(to: 0..<characters.count)
        let removed = String(characters[range])
        replace(range, with: "")
        move(to: range.lowerBound)
        return removed
    }

    /// Where the line of the cursor begins.
    var lineStart: Int { (characters[..<cursor].lastIndex(of: "\n") ?? -1) + 1 }
    /// Where the line of the cursor ends, before its line feed.
    var lineEnd: Int { characters[cursor...].firstIndex(of: "\n") ?? characters.count }
    /// Whether the cursor is in the first line.
    var isInFirstLine: Bool { lineStart == 0 }
    /// Whether the cursor is in the last line.
    var isInLastLine: Bool { lineEnd == characters.count }

    /// Where the word before the cursor begins.
    var wordStart: Int {
        var place = cursor
        while place > 0, !characters[place - 1].isOfWord { place -= 1 }
        while place > 0, characters[place - 1].isOfWord { place -= 1 }
        return place
    }

    /// Where the word after the cursor ends.
    var wordEnd: Int {
        var place = cursor
        while place < characters.count, !characters[place].isOfWord { place += 1 }
        while place < characters.count, characters[place].isOfWord { place += 1 }
        return place
    }

    /// Where what stands before the cursor begins, up to a space.
    var spacedWordStart: Int {
        var place = cursor
        while place > 0, characters[place - 1].isWhitespace { place -= 1 }
        while place > 0, !characters[place - 1].isWhitespace { place -= 1 }
        return place
    }

    /// Moves to the line above or below, as near to the same column as it goes.
    mutating func moveByLine(_ step: Int) {
        let column = cursor - lineStart
        if step < 0 {
            guard lineStart > 0 else { return }
            move(to: lineStart - 1)
        } else {
            guard lineEnd < characters.count else { return }
            move(to: lineEnd + 1)
        }
        move(to: min(lineStart + column, lineEnd))
    }

    /// Swaps the characters around the cursor; at the end of a line, the two before it.
    mutating func transpose() {
        let place = cursor == lineEnd ? cursor - 1 : cursor
        guard place > lineStart, place < characters.count else { return }
        let swapped = String([characters[place], characters[place - 1]])
        replace(place - 1..<place + 1, with: swapped)
        move(to: place + 1)
    }
}

extension Character {
    /// Whether it belongs to a name.
    var isOfWord: Bool { isLetter || isNumber || self == "_" }

    /// How many cells it takes as it is shown; a line feed none.
    fileprivate var displayedCells: UInt8 {
        // Nearly every character is one of these, and a paste may bring a million.
        if let value = utf8.first, (0x20..<0x7F).contains(value), utf8.count == 1 { return 1 }
        return self == "\n" ? 0 : UInt8(clamping: max(1, displayed.terminalWidth))
    }

    /// How the editor shows it: control characters as `^X`, marks that stand alone on a circle.
    var displayed: String {
        if let value = asciiValue, self != "\r\n" {
            if value >= 0x20 && value < 0x7F { return String(self) }
            return "^" + String(UnicodeScalar(value ^ 0x40))
        }
        let shown = String(self).escapedForTerminal
        return shown.terminalWidth == 0 ? "\u{25CC}" + shown : shown
    }
}

extension String {
    /// The text with CR LF and CR as LF.
    fileprivate var withPlainLineEnds: String {
        guard utf8.contains(0x0D) else { return self }
        var result = String.UnicodeScalarView()
        var isAfterReturn = false
        for scalar in unicodeScalars {
            if !(scalar == "\n" && isAfterReturn) { result.append(scalar == "\r" ? "\n" : scalar) }
            isAfterReturn = scalar == "\r"
        }
        return String(result)
    }
}
