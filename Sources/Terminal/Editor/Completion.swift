/// What could stand in place of a part of a text.
package struct Completion: Hashable, Sendable {
    /// One possibility.
    package struct Candidate: Hashable, Sendable {
        /// What would stand there.
        package let text: String
        /// How it is called; nil where it is not called.
        package let signature: String?

        /// Makes a possibility.
        package init(_ text: String, signature: String? = nil) {
            self.text = text
            self.signature = signature
        }
    }

    /// The text before the cursor that was completed.
    package let input: String
    /// The part of it that is replaced, in bytes of UTF-8.
    package let range: Range<Int>
    /// The possibilities.
    package let candidates: [Candidate]

    /// Makes a completion.
    package init(of input: String, range: Range<Int>, candidates: [Candidate]) {
        self.input = input
        self.range = range
        self.candidates = candidates
    }

    /// The part that is replaced, in characters of the input; nil where it is no part of it.
    var characters: Range<Int>? {
        let utf8 = input.utf8
        guard range.lowerBound >= 0, range.upperBound <= utf8.count else { return nil }
        let start = utf8.index(utf8.startIndex, offsetBy: range.lowerBound)
        let end = utf8.index(utf8.startIndex, offsetBy: range.upperBound)
        guard let startOfCharacter = start.samePosition(in: input), let endOfCharacter = end.samePosition(in: input)
        else { return nil }
        let before = input.distance(from: input.startIndex, to: startOfCharacter)
        return before..<before + input.distance(from: startOfCharacter, to: endOfCharacter)
    }

    /// What all possibilities begin with.
    var commonPrefix: String {
        guard var prefix = candidates.first?.text[...] else { return "" }
        for candidate in candidates.dropFirst() {
            while !candidate.text.hasPrefix(prefix) { prefix = prefix.dropLast() }
        }
        return String(prefix)
    }

    /// The possibilities in columns, as many lines as there is room for.
    func lines(columns: Int, limit: Int) -> [String] {
        guard columns > 0, limit > 0 else { return [] }
        let texts = candidates.map { $0.text.escapedForTerminal.truncated(to: columns) }
        let width = (texts.map(\.terminalWidth).max() ?? 0) + 2
        let across = max(1, (columns + 2) / width)
        let down = (texts.count + across - 1) / across
        let lines = (0..<down).map { line in
            stride(from: line, to: texts.count, by: down)
                .map { texts[$0] + String(repeating: " ", count: width - texts[$0].terminalWidth) }
                .joined().trimmingSuffix(of: " ").truncated(to: columns)
        }
        guard lines.count > limit else { return lines }
        let rest = "… \(texts.count) in all".truncated(to: columns)
        return Array(lines.prefix(limit - 1)) + [rest]
    }
}

extension String {
    fileprivate func trimmingSuffix(of character: Character) -> String {
        var text = self[...]
        while text.last == character { text = text.dropLast() }
        return String(text)
    }
}
