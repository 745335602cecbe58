public import KeyModel

/// What a stored value looks like, told without any key.
public enum Inspection: Hashable, Sendable {
    /// No value.
    case null
    /// Text or binary without a byte.
    case empty
    /// Nothing of this or of another format that the core knows.
    case plaintext
    /// This core's format, with what it says about its key.
    case mine(KeyHint)
    /// Looks sealed, but not by this core; never treated as plaintext.
    case foreign
}

/// What a sealed value says about the key that sealed it.
public enum KeyHint: Hashable, Sendable {
    /// This key and no other.
    case exact(KeyID)
    /// One of these.
    case candidates([KeyID])
    /// Nothing: every key must be tried.
    case none
}
