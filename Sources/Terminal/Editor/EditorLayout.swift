/// Where the characters of an input stand on a screen of a width.
///
/// A row that is full ends at once, so that the cursor always has a cell to stand in.
struct EditorLayout: Sendable {
    /// A row: characters, behind a prompt where a line begins.
    struct Row: Hashable, Sendable {
        /// Its characters, without a line feed.
        var characters: Range<Int>
        /// What stands before them.
        var lead: Lead
        /// How many cells it takes.
        var width: Int
    }

    /// What stands at the beginning of a row.
    enum Lead: Hashable, Sendable {
        case prompt, continuation, nothing
    }

    /// The rows.
    private(set) var rows: [Row] = []
    /// The row of the cursor.
    private(set) var cursorRow = 0
    /// The column of the cursor.
    private(set) var cursorColumn = 0

    /// Lays out an input.
    ///
    /// - Parameters:
    ///   - buffer: The input.
    ///   - promptWidth: How many cells the prompt takes, fewer than `columns`.
    ///   - continuationWidth: The same of what stands before the lines that follow.
    ///   - columns: How many cells a row has, 1 at least.
    init(_ buffer: EditBuffer, promptWidth: Int, continuationWidth: Int, columns: Int) {
        var row = Row(characters: 0..<0, lead: .prompt, width: promptWidth)
        var isWrapped = false
        let count = buffer.characters.count
        for place in 0...count {
            if place == buffer.cursor { (cursorRow, cursorColumn) = (rows.count, row.width) }
            guard place < count else { break }
            if buffer.cells[place] == 0 {
                // A line that fills its rows wholly ends in the empty row that it has begun.
                if !isWrapped { rows.append(row) }
                row = Row(characters: place + 1..<place + 1, lead: .continuation, width: continuationWidth)
                isWrapped = false
                continue
            }
            let cells = min(Int(buffer.cells[place]), columns)
            if row.width + cells > columns {
                rows.append(row)
                row = Row(characters: place..<place, lead: .nothing, width: 0)
                if place == buffer.cursor { (cursorRow, cursorColumn) = (rows.count, 0) }
            }
            row.characters = row.characters.lowerBound..<place + 1
            row.width += cells
            isWrapped = row.width == columns
            if isWrapped {
                rows.append(row)
                row = Row(characters: place + 1..<place + 1, lead: .nothing, width: 0)
            }
        }
        rows.append(row)
    }
}
