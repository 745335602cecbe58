internal import CPostgreSQL
internal import KeyModel
internal import Storage

/// Where a database is and how to get in, in any form that libpq takes; may hold a password and is never printed.
struct ConnectionString: Sendable, CustomStringConvertible {
    let text: String
    /// What must not appear in any message.
    private let secrets: [String]
    /// The database and its host as messages name them.
    let description: String

    /// Takes a connection string apart.
    ///
    /// - Throws: ``StorageError`` with `storeUnavailable`, which does not quote the text.
    init(_ text: String) throws(StorageError) {
        guard !text.utf8.contains(0), let fields = Self.fields(of: text) else {
            throw StorageError(
                .storeUnavailable, "cannot reach the database: its connection string is malformed",
                hint: "Write it as postgresql://user@host:port/database; see \"Connection Strings\" of libpq.")
        }
        self.text = text
        secrets = ["password", "sslpassword"].compactMap { fields[$0] }.filter { !$0.isEmpty }
        let host = fields["host"] ?? fields["hostaddr"]
        let place = [host.map { "at " + quoted($0) }, fields["port"].map { "port \($0)" }].compactMap(\.self)
        let database = fields["dbname"].map { "database \(quoted($0))" } ?? "the database"
        description = ([database] + place).joined(separator: " ")
    }

    /// A text of libpq or the server, secrets blotted out, on one line.
    func masked(_ text: String) -> String {
        let blotted = secrets.reduce(text) { text, secret in
            text.split(separator: secret, omittingEmptySubsequences: false).joined(separator: "***")
        }
        return blotted.split(whereSeparator: \.isNewline).joined(separator: "; ")
    }

    /// The fields that the text itself names.
    private static func fields(of text: String) -> [String: String]? {
        guard let options = PQconninfoParse(text, nil) else { return nil }
        defer { PQconninfoFree(options) }
        var fields: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { fields[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        return fields
    }
}
