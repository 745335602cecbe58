internal import KeyModel

/// The name of a table, with its schema where one was given.
package struct TableName: Hashable, Sendable, CustomStringConvertible {
    /// The schema; nil leaves it to the database.
    package let schema: String?
    /// The table.
    package let name: String

    /// Makes a name of parts that need no parsing.
    package init(schema: String? = nil, name: String) {
        self.schema = schema
        self.name = name
    }

    /// Schema and table, outermost first.
    package var parts: [String] { schema.map { [$0, name] } ?? [name] }

    /// The name as configuration writes it.
    package var description: String { parts.map(ColumnPath.written).joined(separator: ".") }
}

/// A column as configuration and commands name it: `table.column` or `schema.table.column`.
///
/// A part that holds a dot, a quote or a blank stands in double quotes, a quote inside doubled, as in SQL.
package struct ColumnPath: Hashable, Sendable, CustomStringConvertible {
    /// The table.
    package let table: TableName
    /// The column.
    package let column: String

    /// Makes a path of parts that need no parsing.
    package init(table: TableName, column: String) {
        self.table = table
        self.column = column
    }

    /// Parses a path.
    ///
    /// - Throws: ``StorageError`` with `callerNameMalformed`.
    package init(_ text: String) throws(StorageError) {
        let parts = Self.split(text)
        guard let parts, (2...3).contains(parts.count),
            parts.allSatisfy({ !$0.isEmpty && $0.utf8.count <= 128 && !$0.utf8.contains(0) })
        else {
            throw StorageError(
                .callerNameMalformed, "\(quoted(text)) names no column",
                hint: "Write table.column or schema.table.column, with double quotes round a part that holds a dot."
            )
        }
        self.init(
            table: TableName(schema: parts.count == 3 ? parts[0] : nil, name: parts[parts.count - 2]),
            column: parts[parts.count - 1])
    }

    /// The path as configuration writes it.
    package var description: String { "\(table).\(Self.written(column))" }

    /// Writes a part of a name, quoted where it must be.
    static func written(_ part: String) -> String {
        let isPlain = part.unicodeScalars.allSatisfy { $0 != "." && $0 != "\"" && $0 != " " }
        guard !isPlain else { return part }
        var result = "\""
        for scalar in part.unicodeScalars {
            if scalar == "\"" { result += "\"" }
            result.unicodeScalars.append(scalar)
        }
        return result + "\""
    }

    /// Splits at the dots; by scalars, since a combining mark would make one character of itself and a quote or a dot.
    private static func split(_ text: String) -> [String]? {
        var parts: [String] = [""]
        var isQuoted = false
        var rest = text.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            switch scalar {
            case "\"" where isQuoted && rest.first == "\"":
                parts[parts.count - 1].append("\"")
                rest.removeFirst()
            case "\"" where isQuoted:
                isQuoted = false
                guard rest.isEmpty || rest.first == "." else { return nil }
            case "\"":
                guard parts[parts.count - 1].isEmpty else { return nil }
                isQuoted = true
            case "." where !isQuoted: parts.append("")
            default: parts[parts.count - 1].unicodeScalars.append(scalar)
            }
        }
        return isQuoted ? nil : parts
    }
}
