internal import KeyModel
internal import Storage

/// The one place where PostgreSQL's error codes become errors of ours.
struct ServerError {
    /// What the trigger of a fence refuses with; it is also how the refusal is recognised.
    static let fenceState = "KT001"
    /// The text that a fence of ours refuses with.
    static let fenceMessage = "keyturn: this column takes values sealed under the active key only"

    let state: String
    /// The first line of the server's words, secrets blotted out.
    let message: String

    /// An error of ours.
    ///
    /// - Parameters:
    ///   - action: A verb: `open`, `read`, `write`.
    ///   - object: What it was done to.
    /// - Returns: The error.
    func storageError(doing action: String, _ object: String) -> StorageError {
        let (code, reason, hint) = explanation(action)
        return StorageError(code, "cannot \(action) \(object): \(reason)", hint: hint)
    }

    private typealias Explanation = (StorageError.Code, String, String?)

    private func explanation(_ action: String) -> Explanation {
        switch state {
        case Self.fenceState:
            return (.storeFenceRefused, "the fence takes values sealed under the active key only", nil)
        case "55P03", "40001", "40P01", "55006":
            return (.storeBusy, "another connection held a lock for too long", "Retry once the application is quieter.")
        case "57014":
            return (.storeBusy, "the statement took too long or was cancelled", "Retry once the server is quieter.")
        case "53100":
            return (.storeFull, "the disk is full", "Make room; nothing of the transaction was written.")
        case "25006":
            return (
                .storeReadOnly, "it may only be read",
                "Check that the server is no standby and that the transaction may write."
            )
        case "42501": return notAllowed(action)
        case "42P01", "42703", "3F000": return (.storeObjectMissing, quoted(message), nil)
        case "25P02":
            return (.storeUnexpected, "a statement of the same transaction has failed before", nil)
        case "XX001", "XX002":
            return (
                .storeDamaged, "the server found damaged data: \(quoted(message))",
                "Check it with pg_amcheck, and restore it from a backup."
            )
        default: return explanation(ofClass: String(state.prefix(2)))
        }
    }

    private func explanation(ofClass stateClass: String) -> Explanation {
        switch stateClass {
        case "", "08", "57":
            return (.storeUnavailable, "the connection was lost: \(quoted(message))", "Retry once the server answers.")
        case "28", "3D": return (.storeUnavailable, quoted(message), nil)
        case "53": return (.storeUnavailable, "the server lacks resources: \(quoted(message))", nil)
        // Messages of these classes quote the value that does not fit, save for one.
        case "22":
            let reason = state == "22001" ? quoted(message) : "the server reports \(state)"
            return (.storeRowRefused, "the column's type refused a value: \(reason)", nil)
        case "23", "27", "38", "39", "44", "54", "P0":
            return (.storeRowRefused, "a constraint or a trigger refused a row: \(quoted(message))", nil)
        case "25": return (.storeUnavailable, "the server ended the transaction: \(quoted(message))", nil)
        default: return (.storeUnexpected, "the server reports \(state): \(quoted(message))", nil)
        }
    }

    private func notAllowed(_ action: String) -> Explanation {
        (
            action == "write" ? .storeReadOnly : .storeUnexpected, "the role is not allowed to: \(quoted(message))",
            "Connect as the owner of the table, or grant what is missing."
        )
    }
}
