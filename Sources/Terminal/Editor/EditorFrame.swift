/// How an editor looks: rows of a terminal and the cursor in them.
package struct EditorFrame: Hashable, Sendable {
    /// A row.
    package struct Row: Hashable, Sendable {
        /// The text, with what sets it off.
        package let text: String
        /// How many cells it takes.
        package let width: Int
    }

    /// The rows, from the top.
    package let rows: [Row]
    /// The row of the cursor.
    package let cursorRow: Int
    /// The column of the cursor.
    package let cursorColumn: Int
}

extension LineEditor {
    /// Texts longer than this are not coloured.
    private static let colorLimit = 32 << 10

    /// How the editor looks on a terminal.
    ///
    /// An input of more rows than the terminal has is shown in part, with the cursor; hints stand below it where there is room.
    package mutating func frame(in size: TerminalSize) -> EditorFrame {
        let columns = max(1, size.columns)
        let lead = lead(columns: columns)
        let layout = EditorLayout(
            buffer, promptWidth: lead.first.terminalWidth, continuationWidth: lead.following.terminalWidth,
            columns: columns)
        let height = max(1, size.rows)
        top = min(max(top, layout.cursorRow - height + 1), layout.cursorRow, max(0, layout.rows.count - height))
        let shown = layout.rows[top..<min(layout.rows.count, top + height)]
        let roles = roles()
        var rows = shown.map { row(of: $0, lead, roles, columns) }
        for line in below(columns: columns, limit: height - rows.count) {
            rows.append(EditorFrame.Row(text: style.apply(.faint, to: line), width: line.terminalWidth))
        }
        return EditorFrame(rows: rows, cursorRow: layout.cursorRow - top, cursorColumn: layout.cursorColumn)
    }

    private struct Leads {
        let first: String
        let following: String
        let role: Style.Role
    }

    /// The prompt and the continuation's; short ones where the terminal is narrow.
    private func lead(columns: Int) -> Leads {
        if let search {
            let failed = search.hasFailed ? "failed " : ""
            let text = "(\(failed)search \"\(search.query.escapedForTerminal)\") "
            return Leads(first: text.truncated(to: max(0, columns - 2)), following: "", role: .faint)
        }
        let first = prompt.text.escapedForTerminal
        let fits = first.terminalWidth + 2 <= columns
        let short = columns > 3 ? "> " : ""
        let following = prompt.continuation.terminalWidth + 2 <= columns ? prompt.continuation : short
        return Leads(first: fits ? first : short, following: following, role: prompt.role)
    }

    private func row(
        of row: EditorLayout.Row, _ lead: Leads, _ roles: [Style.Role?], _ columns: Int
    ) -> EditorFrame.Row {
        var text =
            switch row.lead {
            case .prompt: style.apply(lead.role, to: lead.first)
            case .continuation: style.apply(.faint, to: lead.following)
            case .nothing: ""
            }
        var run = ""
        var role: Style.Role?
        for place in row.characters {
            let next = place < roles.count ? roles[place] : nil
            if next != role {
                text += role.map { style.apply($0, to: run) } ?? run
                run = ""
                role = next
            }
            // What is wider than the whole terminal cannot be shown.
            run += Int(buffer.cells[place]) > columns ? "?" : buffer.characters[place].displayed
        }
        return EditorFrame.Row(text: text + (role.map { style.apply($0, to: run) } ?? run), width: row.width)
    }

    private func roles() -> [Style.Role?] {
        guard style.isColored, buffer.characters.count <= Self.colorLimit, buffer.characters.first != "\\" else {
            return []
        }
        var roles = [Style.Role?](repeating: nil, count: buffer.characters.count)
        for token in LuaLexer(buffer.characters).tokens {
            guard let role = token.kind.role else { continue }
            for place in token.range { roles[place] = role }
        }
        return roles
    }

    private func below(columns: Int, limit: Int) -> [String] {
        guard limit > 0, search == nil else { return [] }
        if let completion { return completion.lines(columns: columns, limit: limit) }
        // One row less than there is, since a terminal may wrap what fills its last row.
        return hint.map { ["  \($0.escapedForTerminal)".truncated(to: columns - 1)] }?.filter { !$0.isEmpty } ?? []
    }
}

extension LuaLexer.Kind {
    fileprivate var role: Style.Role? {
        switch self {
        case .keyword: .strong
        case .string: .good
        case .number: .warning
        case .comment: .faint
        case .name, .symbol: nil
        }
    }
}
