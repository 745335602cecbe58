internal import Frames

extension Answer {
    /// Makes an answer whose value is a record of ours.
    ///
    /// - Throws: `EncodingError`.
    package init(encoding record: some Encodable, _ blocks: [Block] = [], isGood: Bool = true) throws {
        self.init(try FrameValue(encoding: record), blocks, isGood: isGood)
    }
}

extension Answer.Block {
    /// A table without a title whose cells are texts.
    static func table(_ title: String? = nil, _ headers: [String], numbers: [String] = [], rows: [[String]]) -> Self {
        let columns = headers.map { Answer.Column($0) } + numbers.map { Answer.Column($0, isNumber: true) }
        return .table(title: title, columns: columns, rows: rows)
    }

    /// Labels and values.
    static func fields(_ fields: KeyValuePairs<String, String>) -> Self {
        .record(fields.map { Answer.Field($0.key, $0.value) })
    }
}
