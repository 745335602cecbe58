/// Keeps a terminal in step with an editor: compares what is shown with what should be, and writes the difference.
///
/// Needs a terminal of ECMA-48 with the cursor's moves and erasing, nothing else. All moves are relative to where the input begins.
package struct EditorScreen: Sendable {
    private var rows: [EditorFrame.Row] = []
    private var cursorRow = 0

    /// Assumes that the cursor stands at the beginning of an empty line.
    package init() {}

    /// What brings the terminal from what it shows to a frame.
    package mutating func show(_ frame: EditorFrame) -> String {
        var output = ""
        var row = cursorRow
        let first =
            zip(rows, frame.rows).enumerated().first { $1.0 != $1.1 }?.offset ?? min(rows.count, frame.rows.count)
        for place in first..<max(first, frame.rows.count) {
            guard place >= rows.count || rows[place] != frame.rows[place] else { continue }
            output += Self.move(from: row, to: place, existing: max(rows.count, 1, row + 1)) + "\r"
            // Erased before it is written: behind a full row the cursor stands on its last cell and would take it along.
            if place >= rows.count || frame.rows[place].width < rows[place].width { output += "\u{1B}[K" }
            output += frame.rows[place].text
            row = place
        }
        if rows.count > frame.rows.count {
            output += Self.move(from: row, to: frame.rows.count, existing: rows.count) + "\r\u{1B}[J"
            row = frame.rows.count
        }
        output += Self.move(from: row, to: frame.cursorRow, existing: max(rows.count, frame.rows.count)) + "\r"
        if frame.cursorColumn > 0 { output += "\u{1B}[\(frame.cursorColumn)C" }
        (rows, cursorRow) = (frame.rows, frame.cursorRow)
        return output
    }

    /// What puts the cursor at the beginning of the line below the input, which stays.
    package mutating func leave() -> String {
        let output = Self.move(from: cursorRow, to: max(0, rows.count - 1), existing: rows.count) + "\r\n"
        self = EditorScreen()
        return output
    }

    /// Takes an input up again that was left, where nothing was written since: the cursor stands in the line below it.
    package static func rejoining(_ former: EditorScreen) -> EditorScreen {
        var screen = former
        screen.cursorRow = former.rows.count
        screen.rows.append(EditorFrame.Row(text: "", width: 0))
        return screen
    }

    /// What takes the input off the terminal, with the cursor where it began.
    package mutating func erase() -> String {
        let output = Self.move(from: cursorRow, to: 0, existing: rows.count) + "\r\u{1B}[J"
        self = EditorScreen()
        return output
    }

    /// What takes the input off a terminal that has just changed its width.
    ///
    /// Most terminals break the rows that no longer fit; the cursor's distance from the first row is reckoned so.
    package mutating func erase(afterWidthBecame columns: Int) -> String {
        let columns = max(1, columns)
        let above = rows.prefix(cursorRow).reduce(0) { $0 + max(1, ($1.width + columns - 1) / columns) }
        cursorRow = above
        return erase()
    }

    /// What wipes the whole terminal; the input is to be shown anew.
    package mutating func wipe() -> String {
        self = EditorScreen()
        return "\u{1B}[H\u{1B}[2J"
    }

    /// Moves between rows; what goes below the last row there is makes new ones.
    private static func move(from row: Int, to other: Int, existing: Int) -> String {
        if other < row { return "\u{1B}[\(row - other)A" }
        let known = max(0, min(other, existing - 1) - row)
        let down = known > 0 ? "\u{1B}[\(known)B" : ""
        let new = other - row - known
        return down + (new > 0 ? "\r" + String(repeating: "\n", count: new) : "")
    }
}
