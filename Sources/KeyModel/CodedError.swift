/// An error that can be shown to people and to programs in the same words everywhere.
public protocol CodedError: Error {
    /// The stable name, the same in logs, JSON and scripts.
    var codeName: String { get }
    /// What could not be done to which thing, and why; lower case, one line, without secrets.
    var message: String { get }
    /// What to do about it, in whole sentences.
    var hint: String? { get }
}

extension KeyModelError: CodedError {
    /// The stable name of the code.
    public var codeName: String { code.rawValue }
}
