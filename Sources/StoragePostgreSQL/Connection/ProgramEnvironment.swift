internal import CPostgreSQL
package import Storage

/// How the programs of PostgreSQL reach what a connection string names, without a password on their command lines.
package enum ProgramEnvironment {
    /// The variables of libpq that say the same as a connection string.
    ///
    /// - Throws: ``StorageError`` with `storeUnavailable`, which does not quote the text, also where it names a setting
    ///   that no variable can hold.
    package static func variables(of url: String) throws(StorageError) -> [String: String] {
        // Tells what is malformed.
        _ = try ConnectionString(url)
        guard let options = PQconninfoParse(url, nil) else { return [:] }
        defer { PQconninfoFree(options) }
        var variables: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val {
                guard let variable = option.pointee.envvar else {
                    // Timings of the connection; the programs have their own.
                    guard String(cString: keyword) == "sslpassword" else {
                        option += 1
                        continue
                    }
                    throw StorageError(
                        .storeUnavailable, "cannot hand the connection on: sslpassword can stand in no variable",
                        hint: "Use a key of TLS without a password, readable by Keyturn alone.")
                }
                variables[String(cString: variable)] = String(cString: value)
            }
            option += 1
        }
        return variables
    }
}
