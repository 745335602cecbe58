internal import Frames

extension Answer {
    /// Reads an answer out of a message.
    init(_ fields: WireFields) throws(ControlError) {
        var blocks: [Block] = []
        for block in try fields.list("blocks") { blocks.append(try Block(WireFields(block))) }
        self.init(fields.value("value"), blocks, isGood: try fields.bool("good"))
    }

    /// The members of a message that carry it.
    var fields: [String: FrameValue] {
        ["value": value, "blocks": .array(blocks.map { .map($0.fields) }), "good": .bool(isGood)]
    }
}

extension Answer.Block {
    fileprivate init(_ fields: WireFields) throws(ControlError) {
        switch try fields.text("block", most: 32) {
        case "lines": self = .lines(try fields.texts("lines"))
        case "record":
            var record: [Answer.Field] = []
            for pair in try fields.list("fields") {
                let words = try texts(pair)
                guard words.count == 2 else { throw wireError("a field of a record has \(words.count) parts") }
                record.append(Answer.Field(words[0], words[1]))
            }
            self = .record(record)
        case "table": self = try Self.table(fields)
        default: throw wireError("a block is of no kind that is known")
        }
    }

    private static func table(_ fields: WireFields) throws(ControlError) -> Answer.Block {
        var columns: [Answer.Column] = []
        for column in try fields.list("columns") {
            let column = try WireFields(column)
            columns.append(Answer.Column(try column.text("header"), isNumber: try column.bool("number")))
        }
        var rows: [[String]] = []
        for row in try fields.list("rows") {
            let cells = try texts(row)
            guard cells.count == columns.count else {
                throw wireError("a row has \(cells.count) cells for \(columns.count) columns")
            }
            rows.append(cells)
        }
        return .table(title: try fields.optionalText("title"), columns: columns, rows: rows)
    }

    fileprivate var fields: [String: FrameValue] {
        switch self {
        case .lines(let lines): ["block": "lines", "lines": list(lines)]
        case .record(let fields):
            ["block": "record", "fields": .array(fields.map { list([$0.label, $0.value]) })]
        case .table(let title, let columns, let rows):
            [
                "block": "table", "title": FrameValue(title), "rows": .array(rows.map(list)),
                "columns": .array(columns.map { ["header": .string($0.header), "number": .bool($0.isNumber)] }),
            ]
        }
    }
}

private func list(_ texts: [String]) -> FrameValue { .array(texts.map { .string($0) }) }

private func texts(_ value: FrameValue) throws(ControlError) -> [String] {
    guard case .array(let elements) = value else { throw wireError("a list of texts is no list") }
    var texts: [String] = []
    for element in elements {
        guard case .string(let text) = element else { throw wireError("a list of texts holds what is no text") }
        texts.append(text)
    }
    return texts
}
