/// What a core is and what it promises.
public struct CoreDescriptor: Hashable, Sendable {
    /// How precisely a value names its key.
    public enum KeyIDKind: String, Sendable {
        /// At a fixed place, so that SQL can count and fence by it.
        case exact
        /// As a hint that narrows the search.
        case hint
        /// Not at all.
        case none
    }

    /// Whether equal plaintexts give equal values.
    public enum Determinism: String, Sendable {
        /// Never.
        case never
        /// Where the column asks for it.
        case optional
        /// Always.
        case always
    }

    /// The name that configuration uses, such as `kr1`.
    public let name: String
    /// One line for people.
    public let summary: String
    /// Whether a changed value fails to open.
    public let isAuthenticated: Bool
    /// Whether a value opens under one key alone.
    public let isCommitting: Bool
    /// How a value names its key.
    public let keyID: KeyIDKind
    /// The bindings that the format can express.
    public let bindings: Set<ValueContext.Scheme>
    /// Whether it can be searched by equality.
    public let determinism: Determinism
    /// The most values to seal under one version.
    public let sealLimit: UInt64
    /// The sizes of material that a version may have, in bytes; a new version gets the upper bound of random bytes
    /// unless ``materialSize`` says otherwise.
    public let materialSizes: ClosedRange<Int>
    /// How many random bytes a new version gets.
    public let materialSize: Int
    /// The attributes of values that the format keeps.
    public let attributes: Set<ValueAttributes.Kind>
    /// The names of the options that a keyring may give this core.
    public let options: Set<String>
    /// The forms in which it writes values.
    public let forms: Set<ValueForm>

    /// Makes a descriptor.
    public init(
        name: String, summary: String, isAuthenticated: Bool, isCommitting: Bool, keyID: KeyIDKind,
        bindings: Set<ValueContext.Scheme>, determinism: Determinism, sealLimit: UInt64,
        materialSizes: ClosedRange<Int>, materialSize: Int, attributes: Set<ValueAttributes.Kind> = [],
        options: Set<String> = [], forms: Set<ValueForm> = [.text, .blob]
    ) {
        self.forms = forms
        self.name = name
        self.summary = summary
        self.isAuthenticated = isAuthenticated
        self.isCommitting = isCommitting
        self.keyID = keyID
        self.bindings = bindings
        self.determinism = determinism
        self.sealLimit = sealLimit
        self.materialSizes = materialSizes
        self.materialSize = materialSize
        self.attributes = attributes
        self.options = options
    }
}
