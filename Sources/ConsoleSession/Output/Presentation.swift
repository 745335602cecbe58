package import Control
internal import Foundation
internal import Frames
internal import KeyModel
package import Terminal

/// Lays out what calls and scripts came to, for people and for programs.
package struct Presentation: Sendable {
    /// How results are printed.
    package var format: ResultFormat
    /// Whether tables are shown as records, a row after another.
    package var isExpanded = false
    /// The terminal's width; nil where there is none and nothing is cut.
    package var width: Int?
    /// How text is set off.
    package var style: Style

    /// Makes a presentation.
    package init(_ format: ResultFormat, width: Int? = nil, style: Style = .plain) {
        self.format = format
        self.width = width
        self.style = style
    }

    /// The text of a result, with the end of its last line; nothing for nothing, except where programs read it.
    package func text(_ answer: Answer) -> String {
        switch format {
        case .json: return envelope(["ok": true, "result": answer.value]) + "\n"
        case .ndjson:
            if case .array(let items) = answer.value { return Self.lines(items.map { $0.json() }) }
            return Self.lines([answer.value.json()])
        case .csv: return csv(answer).joined()
        case .lua: return answer.value == .null ? "" : Self.lines(inspected(answer.value))
        case .table: return Self.lines(people(answer))
        }
    }

    /// The text of what a person should read before a question, whatever the format of results.
    package func review(_ answer: Answer) -> String {
        Self.lines(answer.blocks.isEmpty ? inspected(answer.value) : lines(of: answer.blocks))
    }

    /// The text of an error, for the stream that ``isErrorOnOutput`` names.
    package func text(_ error: any Error) -> String {
        let coded = error as? any CodedError
        let message = coded?.message ?? "\(error)"
        if isErrorOnOutput {
            var body: [String: FrameValue] = [
                "code": .string(coded?.codeName ?? "internalUnexpected"), "message": .string(message),
            ]
            body["hint"] = coded?.hint.map { .string($0) }
            return envelope(["ok": false, "error": .map(body)]) + "\n"
        }
        let hint = coded?.hint.map { style.apply(.faint, to: "hint: \($0.escapedForTerminal)") + "\n" } ?? ""
        return style.apply(.bad, to: "error:") + " \(message.escapedLines)\n" + hint
    }

    /// Whether errors are part of the output: where that is always JSON.
    package var isErrorOnOutput: Bool { format == .json || format == .ndjson }

    /// The lines of blocks for people.
    package func lines(of blocks: [Answer.Block]) -> [String] {
        blocks.enumerated().flatMap { index, block in (index > 0 ? [""] : []) + lines(of: block) }
    }

    private func people(_ answer: Answer) -> [String] {
        if !answer.blocks.isEmpty { return lines(of: answer.blocks) }
        if answer.value == .null { return [] }
        guard let table = Self.table(of: answer.value) else { return inspected(answer.value) }
        return lines(of: table)
    }

    private func lines(of block: Answer.Block) -> [String] {
        switch block {
        case .lines(let lines): return lines.map(\.escapedForTerminal)
        case .record(let fields): return record(fields.map { Record.Field($0.label, $0.value) })
        case .table(let title, let columns, let rows):
            let heading = title.map { [style.apply(.strong, to: $0.escapedForTerminal)] } ?? []
            if isExpanded { return heading + expanded(columns, rows) }
            let set = Table(
                columns: columns.map { Table.Column($0.header, alignment: $0.isNumber ? .right : .left) }, rows: rows)
            return heading + set.lines(width: width, style: style) + (rows.isEmpty ? ["(none)"] : [])
        }
    }

    private func record(_ fields: [Record.Field]) -> [String] { Record(fields).lines(width: width, style: style) }

    private func expanded(_ columns: [Answer.Column], _ rows: [[String]]) -> [String] {
        rows.enumerated().flatMap { number, row in
            let fields = zip(columns, row).map { Record.Field($0.header, $1) }
            return [style.apply(.faint, to: "-- \(number + 1)")] + record(fields)
        }
    }

    private func inspected(_ value: FrameValue) -> [String] { LuaInspector(width: width ?? 100).lines(value) }

    private func csv(_ answer: Answer) -> [String] {
        let blocks = answer.blocks.isEmpty ? Self.table(of: answer.value).map { [$0] } ?? [] : answer.blocks
        for case .table(_, let columns, let rows) in blocks {
            let bare = rows.map { row in
                columns.indices.map { column -> String? in
                    guard column < row.count else { return nil }
                    return columns[column].isNumber ? Self.ungrouped(row[column]) : row[column]
                }
            }
            return [CSV.line(columns.map(\.header))] + bare.map(CSV.line)
        }
        for case .record(let fields) in blocks {
            return [CSV.line(fields.map(\.label)), CSV.line(fields.map(\.value))]
        }
        if !blocks.isEmpty { return lines(of: blocks).map { CSV.line([$0]) } }
        return answer.value == .null ? [] : [CSV.line([Self.cell(answer.value)])]
    }

    private func envelope(_ value: FrameValue) -> String { value.json(isPretty: true) }

    /// A list of flat maps as a table; nil for anything else.
    private static func table(of value: FrameValue) -> Answer.Block? {
        guard case .array(let items) = value, !items.isEmpty else { return nil }
        var names: Set<String> = []
        for item in items {
            guard case .map(let entries) = item, entries.values.allSatisfy(isFlat) else { return nil }
            names.formUnion(entries.keys)
        }
        guard !names.isEmpty, names.count <= 100 else { return nil }
        let columns = names.sorted().map { name in
            Answer.Column(name, isNumber: items.allSatisfy { isNumber($0[name] ?? .null) })
        }
        return .table(
            title: nil, columns: columns,
            rows: items.map { item in columns.map { item[$0.header].map(cell) ?? "" } })
    }

    private static func isFlat(_ value: FrameValue) -> Bool {
        switch value {
        case .array, .map, .binary: false
        default: true
        }
    }

    private static func isNumber(_ value: FrameValue) -> Bool {
        switch value {
        case .null, .integer, .double: true
        default: false
        }
    }

    private static func cell(_ value: FrameValue) -> String {
        switch value {
        case .null: ""
        case .string(let text): text
        default: value.json()
        }
    }

    /// A count without the commas that group its digits for people; other texts as they are.
    private static func ungrouped(_ text: String) -> String {
        text.allSatisfy { $0.isNumber || $0 == "," } ? text.replacing(",", with: "") : text
    }

    private static func lines(_ lines: [String]) -> String { lines.map { $0 + "\n" }.joined() }
}

extension String {
    /// The text with its lines kept and everything else escaped that a terminal would obey.
    package var escapedLines: String {
        split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.split(separator: "\t", omittingEmptySubsequences: false).map(\.escapedForTerminal)
                .joined(separator: "\t")
        }.joined(separator: "\n")
    }
}
