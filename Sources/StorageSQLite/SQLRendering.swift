internal import Storage

extension SQL {
    /// The statement as SQLite takes it, its values numbered from `?1`.
    func rendered() -> (text: String, parameters: [SQLValue]) {
        var text = ""
        var parameters: [SQLValue] = []
        for part in parts {
            switch part {
            case .text(let literal): text += literal
            case .control(let table): text += quotedIdentifier(controlPrefix + table)
            case .identifier(let parts): text += parts.map(quotedIdentifier).joined(separator: ".")
            case .parameter(let value):
                parameters.append(value)
                text += "?\(parameters.count)"
            }
        }
        return (text, parameters)
    }
}

/// What the names of our own tables begin with.
let controlPrefix = "keyturn_"

/// A name in double quotes, those inside it doubled.
func quotedIdentifier(_ name: String) -> String {
    var result = "\""
    for scalar in name.unicodeScalars {
        if scalar == "\"" { result += "\"" }
        result.unicodeScalars.append(scalar)
    }
    return result + "\""
}

/// Text in single quotes, those inside it doubled.
func quotedLiteral(_ text: String) -> String {
    "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
}

extension TableName {
    /// The name as SQL writes it.
    var sql: String { parts.map(quotedIdentifier).joined(separator: ".") }
}
