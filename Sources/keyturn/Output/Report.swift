internal import Foundation
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
