/// What a value is bound to: the place it must be opened at.
///
/// All names are logical: they are fixed when a column is first declared and survive a rename in the database.
public struct ValueContext: Hashable, Sendable {
    /// How much of its place a value is bound to; raw values as in KR1's scheme byte.
    public enum Scheme: UInt8, CaseIterable, Sendable {
        /// To nothing: a value may be moved anywhere.
        case none = 0
        /// To its column.
        case column = 1
        /// To its row.
        case row = 2
        /// To what the caller gives.
        case caller = 3
    }

    /// How much it is bound to.
    public let scheme: Scheme
    /// The components, outermost first: namespace, `table.column`, then each component of the primary key.
    public let components: [Bytes]

    private init(scheme: Scheme, components: [Bytes]) {
        self.scheme = scheme
        self.components = components
    }

    /// Bound to nothing.
    public static let none = ValueContext(scheme: .none, components: [])

    /// Bound to a column.
    public static func column(namespace: String, name: String) -> ValueContext {
        ValueContext(scheme: .column, components: [Bytes(namespace.utf8), Bytes(name.utf8)])
    }

    /// Bound to a row, whose primary key components stand in their canonical form.
    public static func row(namespace: String, name: String, key: [Bytes]) -> ValueContext {
        ValueContext(scheme: .row, components: [Bytes(namespace.utf8), Bytes(name.utf8)] + key)
    }

    /// Bound to the row with this key of the column that `self` is bound to.
    public func row(_ key: [Bytes]) -> ValueContext {
        ValueContext(scheme: .row, components: components + key)
    }

    /// Bound to what the caller gives.
    public static func caller(_ components: [Bytes]) -> ValueContext {
        ValueContext(scheme: .caller, components: components)
    }
}
