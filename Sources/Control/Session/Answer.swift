package import Frames

/// What a call came to, in both of its forms: a value for programs and blocks for people.
package struct Answer: Hashable, Sendable {
    /// A piece of what people read; laid out by whoever has the terminal.
    package enum Block: Hashable, Sendable {
        /// Lines as they are.
        case lines([String])
        /// Labels and values.
        case record([Field])
        /// Rows under headers, with a title.
        case table(title: String?, columns: [Column], rows: [[String]])
    }

    /// A label and its value.
    package struct Field: Hashable, Sendable {
        /// What the value is.
        package let label: String
        /// The value as people read it.
        package let value: String

        /// Makes a field.
        package init(_ label: String, _ value: String) {
            self.label = label
            self.value = value
        }
    }

    /// A column of a table.
    package struct Column: Hashable, Sendable {
        /// Its header.
        package let header: String
        /// Whether its cells are numbers, which stand at the right.
        package let isNumber: Bool

        /// Makes a column.
        package init(_ header: String, isNumber: Bool = false) {
            self.header = header
            self.isNumber = isNumber
        }
    }

    /// The value for programs: what `-o json` prints as `result` and Lua gets.
    package var value: FrameValue
    /// What people read.
    package var blocks: [Block]
    /// Whether what was asked for is as it should be; false makes a command end with 1 (an unclean `verify`, an overdue key).
    package var isGood: Bool

    /// Makes an answer.
    package init(_ value: FrameValue, _ blocks: [Block] = [], isGood: Bool = true) {
        self.value = value
        self.blocks = blocks
        self.isGood = isGood
    }
}
