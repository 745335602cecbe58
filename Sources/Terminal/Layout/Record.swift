/// One thing's properties, a label and a value a line.
package struct Record: Sendable {
    /// One property.
    package struct Field: Sendable {
        /// What it is.
        package let label: String
        /// The value as it is, unescaped.
        package let value: String

        /// Makes a property.
        package init(_ label: String, _ value: String) {
            self.label = label
            self.value = value
        }
    }

    /// The properties, from the top.
    package let fields: [Field]

    private static let gap = 2
    /// Where fewer cells than this are left for values, they stand below their labels.
    private static let narrowest = 16

    /// Makes a record.
    package init(_ fields: [Field]) { self.fields = fields }

    /// Sets the record; long values go on in the next line below their beginning, so that nothing is lost.
    ///
    /// - Parameters:
    ///   - width: The most cells of a line; nil for as many as it takes.
    ///   - style: How labels are set off.
    /// - Returns: The lines, without their ends.
    package func lines(width: Int? = nil, style: Style = .plain) -> [String] {
        let labels = fields.map { $0.label.escapedForTerminal }
        let widest = labels.map(\.terminalWidth).max() ?? 0
        let room = width.map { max(1, $0) - widest - Self.gap } ?? .max
        return zip(fields, labels).flatMap { field, label -> [String] in
            let value = field.value.escapedForTerminal
            guard room >= Self.narrowest || room >= value.terminalWidth else {
                return below(label, value: value, width: width ?? .max, style: style)
            }
            return beside(label, padding: widest - label.terminalWidth, value: value, room: room, style: style)
        }
    }

    private func beside(_ label: String, padding: Int, value: String, room: Int, style: Style) -> [String] {
        let indent = String(repeating: " ", count: padding + Self.gap)
        let hanging = String(repeating: " ", count: label.terminalWidth) + indent
        let lines = value.wrapped(to: room)
        guard let first = lines.first else { return [style.apply(.strong, to: label)] }
        return [style.apply(.strong, to: label) + indent + first] + lines.dropFirst().map { hanging + $0 }
    }

    private func below(_ label: String, value: String, width: Int, style: Style) -> [String] {
        let indent = width > Self.gap + 1 ? String(repeating: " ", count: Self.gap) : ""
        let lines = value.wrapped(to: width - indent.count).map { indent + $0 }
        return [style.apply(.strong, to: label.truncated(to: width))] + lines
    }
}

extension String {
    /// The text in lines of at most `width` cells, broken at spaces where there are any; none for an empty text.
    func wrapped(to width: Int) -> [String] {
        var lines: [String] = []
        var rest = self[...]
        while !rest.isEmpty {
            let end = rest.endOfLine(width: width)
            lines.append(String(rest[..<end]))
            rest = rest[end...]
            if !rest.isEmpty, rest.first == " " { rest = rest.dropFirst() }
        }
        return lines
    }
}

extension Substring {
    /// Where the first line ends: behind what fits, or before the last space in it, but behind one character at least.
    fileprivate func endOfLine(width: Int) -> Index {
        var cells = 0
        var lastSpace: Index?
        for index in indices {
            cells += self[index].terminalWidth
            if self[index] == " ", index > startIndex { lastSpace = index }
            if cells > width { return lastSpace ?? (index > startIndex ? index : self.index(after: index)) }
        }
        return endIndex
    }
}
