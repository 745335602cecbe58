internal import Control
internal import Foundation
internal import Frames
internal import Terminal

/// A result in both of its forms: a value for programs and blocks for people.
struct Report {
    /// A piece of what people read.
    enum Block {
        /// Lines as they are.
        case lines([String])
        /// Labels and values.
        case record([(String, String)])
        /// Rows under headers, with a title.
        case table(String?, columns: [Table.Column], rows: [[String]])
    }

    /// The value for programs.
    let value: any Encodable
    /// What people read.
    let blocks: [Block]

    init(_ value: any Encodable, _ blocks: [Block]) {
        self.value = value
        self.blocks = blocks
    }

    /// What a call came to.
    init(_ answer: Answer) {
        self.init(answer.value, answer.blocks.map(Block.init))
    }
}

extension Report.Block {
    fileprivate init(_ block: Answer.Block) {
        switch block {
        case .lines(let lines): self = .lines(lines)
        case .record(let fields): self = .record(fields.map { ($0.label, $0.value) })
        case .table(let title, let columns, let rows):
            let columns = columns.map { Table.Column($0.header, alignment: $0.isNumber ? .right : .left) }
            self = .table(title, columns: columns, rows: rows)
        }
    }
}

/// The one stable form of JSON on standard output.
struct ResultEnvelope: Encodable {
    let result: any Encodable

    private enum Key: String, CodingKey { case ok, result }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(true, forKey: .ok)
        try container.encode(result, forKey: .result)
    }
}
