internal import Storage

extension SQL {
    /// The statement as PostgreSQL takes it, its values numbered from `$1`.
    func rendered() -> (text: String, parameters: [Parameter]) {
        var text = ""
        var parameters: [Parameter] = []
        for part in parts {
            switch part {
            case .text(let literal): text += literal
            case .control(let table): text += quotedIdentifier(controlSchema) + "." + quotedIdentifier(table)
            case .identifier(let parts): text += parts.map(quotedIdentifier).joined(separator: ".")
            case .parameter(let value):
                parameters.append(Parameter(value))
                text += "$\(parameters.count)"
            }
        }
        return (text, parameters)
    }
}

/// The schema that our own tables stand in.
let controlSchema = "keyturn"

/// A name in double quotes, those inside it doubled.
func quotedIdentifier(_ name: String) -> String { enclosed(name, in: "\"") }

/// Text in single quotes, those inside it doubled; the session takes backslashes as they are.
func quotedLiteral(_ text: String) -> String { enclosed(text, in: "'") }

/// A predicate between parentheses on lines of their own, so that a comment at its end cannot swallow the closing one.
func parenthesised(_ predicate: String) -> String { "(\n\(predicate)\n)" }

private func enclosed(_ text: String, in quote: Unicode.Scalar) -> String {
    var result = String(quote)
    for scalar in text.unicodeScalars {
        if scalar == quote { result.unicodeScalars.append(quote) }
        result.unicodeScalars.append(scalar)
    }
    result.unicodeScalars.append(quote)
    return result
}
