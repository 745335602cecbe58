@testable import Terminal

/// A terminal of its own, as ECMA-48 has it: as much of it as an editor may use; anything else is a fault.
struct ScreenModel {
    private(set) var cells: [[String]]
    private(set) var row = 0
    private(set) var column = 0
    /// Whether the last cell of the row was written and the next character wraps.
    private var isWrapPending = false
    private(set) var faults: [String] = []
    let columns: Int
    let rows: Int

    init(columns: Int, rows: Int) {
        (self.columns, self.rows) = (columns, rows)
        cells = Array(repeating: Array(repeating: " ", count: columns), count: rows)
    }

    /// The rows as text, without the spaces at their ends and the empty rows below.
    var text: String {
        var lines = cells.map { row in
            var line = row.joined()[...]
            while line.last == " " { line = line.dropLast() }
            return String(line)
        }
        while lines.last == "" { lines.removeLast() }
        return lines.joined(separator: "\n")
    }

    mutating func write(_ text: String) {
        var rest = Array(text)[...]
        while let character = rest.popFirst() {
            switch character {
            case "\r\n":
                (column, isWrapPending) = (0, false)
                lineFeed()
            case "\r": (column, isWrapPending) = (0, false)
            case "\n": lineFeed()
            case "\u{7}": break
            case "\u{1B}": sequence(&rest)
            default: put(character)
            }
        }
    }

    private mutating func sequence(_ rest: inout ArraySlice<Character>) {
        guard rest.popFirst() == "[" else { return faults.append("a sequence without its bracket") }
        var parameters = ""
        while let next = rest.popFirst() {
            if next.isNumber || next == ";" || next == "?" {
                parameters.append(next)
                continue
            }
            return obey(next, parameters)
        }
        faults.append("a sequence without its end")
    }

    private mutating func obey(_ final: Character, _ parameters: String) {
        let count = Int(parameters) ?? 1
        if final != "m" { isWrapPending = false }
        switch final {
        case "A":
            if row - count < 0 { faults.append("above the screen") }
            row = max(0, row - count)
        case "B":
            if row + count >= rows { faults.append("below the screen") }
            row = min(rows - 1, row + count)
        case "C":
            if column + count >= columns { faults.append("right of the screen") }
            column = min(columns - 1, column + count)
        case "K": for place in column..<columns { cells[row][place] = " " }
        case "J" where parameters.isEmpty:
            for place in column..<columns { cells[row][place] = " " }
            for below in row..<rows where below > row { cells[below] = Array(repeating: " ", count: columns) }
        case "J", "H":
            if final == "H" { (row, column) = (0, 0) } else { self = ScreenModel(columns: columns, rows: rows) }
        case "m", "h", "l": break
        default: faults.append("unknown \(parameters)\(final)")
        }
    }

    private mutating func put(_ character: Character) {
        let width = String(character).terminalWidth
        if character.unicodeScalars.contains(where: { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) }) {
            faults.append("a control character: \(character.unicodeScalars.map(\.value))")
        }
        guard width > 0 else { return faults.append("a mark without a character: \(character.debugDescription)") }
        if isWrapPending || column + width > columns {
            faults.append("text ran over the edge")
            (column, isWrapPending) = (0, false)
            lineFeed()
        }
        cells[row][column] = String(character)
        if width == 2, column + 1 < columns { cells[row][column + 1] = "" }
        column += width
        if column >= columns { (column, isWrapPending) = (columns - 1, true) }
    }

    private mutating func lineFeed() {
        isWrapPending = false
        guard row == rows - 1 else {
            row += 1
            return
        }
        cells.removeFirst()
        cells.append(Array(repeating: " ", count: columns))
    }
}

/// An editor on a terminal.
struct Desk {
    var editor: LineEditor
    var model: ScreenModel
    private var screen = EditorScreen()
    private var decoder = KeyDecoder()
    private(set) var outcomes: [LineEditor.Outcome] = []
    let size: TerminalSize

    init(columns: Int = 40, rows: Int = 8, history: [String] = [], prompt: String = "> ") {
        size = TerminalSize(columns: columns, rows: rows)
        model = ScreenModel(columns: columns, rows: rows)
        editor = LineEditor(prompt: LineEditor.Prompt(prompt, continuation: ". "), history: History(history))
        draw()
    }

    /// Presses what these bytes stand for, and lets the terminal fall silent.
    mutating func press(_ text: String) { press(bytes: Array(text.utf8)) }

    mutating func press(bytes: [UInt8]) {
        take(decoder.take(bytes))
        take(decoder.fallSilent())
    }

    mutating func take(_ keys: [Key]) {
        for key in keys {
            let outcome = editor.take(key)
            outcomes.append(outcome)
            if case .submitted = outcome {
                draw()
                model.write(screen.leave())
                editor.clear()
            }
            draw()
        }
    }

    mutating func answer(_ candidates: [String], replacing count: Int) {
        let input = editor.buffer.textBeforeCursor
        let range = input.utf8.count - count..<input.utf8.count
        editor.take(Completion(of: input, range: range, candidates: candidates.map { Completion.Candidate($0) }))
        draw()
    }

    mutating func resize(columns: Int, rows: Int) -> Desk {
        var other = self
        model.write(screen.erase(afterWidthBecame: columns))
        other = Desk(resized: self, columns: columns, rows: rows)
        return other
    }

    private init(resized former: Desk, columns: Int, rows: Int) {
        size = TerminalSize(columns: columns, rows: rows)
        model = ScreenModel(columns: columns, rows: rows)
        editor = former.editor
        draw()
    }

    private mutating func draw() { model.write(screen.show(editor.frame(in: size))) }

    /// What is shown, with the cursor as `|` before the cell in which it stands.
    var shown: String {
        var lines = model.text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        while lines.count <= model.row { lines.append("") }
        var cells = model.cells[model.row]
        cells.insert("|", at: model.column)
        var line = cells.joined()
        while line.last == " " { line.removeLast() }
        lines[model.row] = line
        return lines.joined(separator: "\n")
    }

    var text: String { editor.buffer.text }
}
