/// What belongs to a sealed value besides its plaintext and must survive being sealed anew.
public struct ValueAttributes: Hashable, Sendable {
    /// The attributes that have a name of their own.
    public enum Kind: String, CaseIterable, Sendable {
        /// ``ValueAttributes/isText``.
        case text
        /// ``ValueAttributes/timestamp``.
        case timestamp
    }

    /// Whether the plaintext is marked as UTF-8 text (KR1's flag 2).
    public var isText: Bool
    /// Seconds since 1970 that the value carries (a Fernet token's timestamp); nil for the time of sealing.
    public var timestamp: UInt64?
    /// Anything else a core must hand back to itself, by names of its own.
    public var others: [String: Bytes]

    /// Makes attributes; without arguments there are none.
    public init(isText: Bool = false, timestamp: UInt64? = nil, others: [String: Bytes] = [:]) {
        self.isText = isText
        self.timestamp = timestamp
        self.others = others
    }

    /// Only those attributes that a core of this description keeps.
    public func kept(by descriptor: CoreDescriptor) -> ValueAttributes {
        ValueAttributes(
            isText: isText && descriptor.attributes.contains(.text),
            timestamp: descriptor.attributes.contains(.timestamp) ? timestamp : nil
        )
    }
}
