/// Rows under headers, set in columns.
package struct Table: Sendable {
    /// The side a column's cells stand on.
    package enum Alignment: Sendable {
        /// Texts.
        case left
        /// Numbers; such a column is cut only when all others have been.
        case right
    }

    /// What stands above a column, and on which side its cells do.
    package struct Column: Sendable {
        /// The header.
        package let header: String
        /// The side.
        package let alignment: Alignment

        /// Makes a column.
        package init(_ header: String, alignment: Alignment = .left) {
            self.header = header
            self.alignment = alignment
        }
    }

    /// The columns, from the left.
    package let columns: [Column]
    /// The cells as they are, unescaped; missing ones count as empty, surplus ones are not shown.
    package let rows: [[String]]

    private static let gap = 2
    /// Texts are not cut below this many cells while anything else can be.
    private static let narrowest = 6

    /// Makes a table.
    package init(columns: [Column], rows: [[String]]) {
        self.columns = columns
        self.rows = rows
    }

    /// Sets the table, the header first; nothing at the end of a line but text.
    ///
    /// - Parameters:
    ///   - width: The most cells of a line; nil for as many as it takes.
    ///   - style: How the header is set off.
    /// - Returns: The lines, without their ends.
    package func lines(width: Int? = nil, style: Style = .plain) -> [String] {
        let header = columns.map { $0.header.escapedForTerminal }
        let cells = rows.map { row in
            columns.indices.map { $0 < row.count ? row[$0].escapedForTerminal : "" }
        }
        let natural = columns.indices.map { column in
            cells.reduce(header[column].terminalWidth) { max($0, $1[column].terminalWidth) }
        }
        let widths = fitted(natural, to: width)
        let texts = ([header] + cells).map { line($0, widths: widths, width: width) }
        return texts.enumerated().map { $0 == 0 ? style.apply(.strong, to: $1) : $1 }
    }

    private func line(_ cells: [String], widths: [Int], width: Int?) -> String {
        let padded = columns.indices.map { cells[$0].padded(to: widths[$0], alignment: columns[$0].alignment) }
        let text = padded.joined(separator: String(repeating: " ", count: Self.gap))
        return (width.map { text.truncated(to: $0) } ?? text).trimmingTrailingSpaces
    }

    /// Narrows the widest columns until the line fits: texts first, then everything.
    private func fitted(_ natural: [Int], to width: Int?) -> [Int] {
        guard let width else { return natural }
        let available = width - Self.gap * max(0, columns.count - 1)
        var widths = natural
        let texts = columns.indices.filter { columns[$0].alignment == .left }
        narrow(texts, of: &widths, to: available, keeping: Self.narrowest)
        narrow(Array(columns.indices), of: &widths, to: available, keeping: 1)
        return widths
    }

    /// Lowers the given columns to the highest common limit at which all of them fit.
    private func narrow(_ chosen: [Int], of widths: inout [Int], to available: Int, keeping least: Int) {
        var excess = widths.reduce(0, +) - available
        guard excess > 0, let widest = chosen.map({ widths[$0] }).max() else { return }
        var limit = widest
        while excess > 0, limit > least {
            limit -= 1
            excess -= chosen.count { widths[$0] > limit }
        }
        for column in chosen { widths[column] = min(widths[column], limit) }
    }
}

extension String {
    fileprivate var trimmingTrailingSpaces: String {
        guard let last = lastIndex(where: { $0 != " " }) else { return "" }
        return String(self[...last])
    }
}
