/// Writes comma-separated values as RFC 4180 describes them.
package enum CSV {
    /// One line with its end, CR LF.
    ///
    /// A field is quoted where it holds a comma, a quote or a line break. An absent field is empty and unquoted, an empty
    /// text is `""`, so that a reader who looks can tell the two apart. A line of one absent field is `""` as well, since
    /// an empty line would be no record.
    package static func line(_ fields: [String?]) -> String {
        if fields == [nil] { return "\"\"\r\n" }
        return fields.map(field).joined(separator: ",") + "\r\n"
    }

    private static func field(_ text: String?) -> String {
        guard let text else { return "" }
        guard text.isEmpty || text.utf8.contains(where: Self.isSpecial) else { return text }
        var result = "\""
        // Scalar by scalar: to Swift, CR LF and a quote with a combining mark are single characters.
        for scalar in text.unicodeScalars {
            if scalar == "\"" { result += "\"" }
            result.unicodeScalars.append(scalar)
        }
        return result + "\""
    }

    private static func isSpecial(_ byte: UInt8) -> Bool { [0x22, 0x2C, 0x0A, 0x0D].contains(byte) }
}
