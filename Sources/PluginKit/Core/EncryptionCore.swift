public import KeyModel

/// An encryption core: one ciphertext format, with the keys of one keyring.
///
/// A core works on batches and answers each value on its own, so that one bad value never fails its neighbours.
/// It is called from several threads at once. It never logs, and it never returns bytes that it could not authenticate.
public protocol EncryptionCore: Sendable {
    /// What the core is and promises; the same for every instance.
    static var descriptor: CoreDescriptor { get }

    /// Checks the core against answers known from elsewhere; called at every start.
    ///
    /// - Throws: ``CoreError`` with `internalSelfTestFailed`, naming the case.
    static func selfTest() throws(CoreError)

    /// Makes fresh material for a new version.
    static func generateMaterial(options: CoreOptions) throws(CoreError) -> SecretBytes

    /// Reads material in the form in which an application keeps it (a Fernet key in base64url, 32 raw bytes, …).
    ///
    /// - Throws: ``CoreError`` with `callerKeyMalformed`; the message never quotes the text.
    static func importMaterial(_ text: borrowing SecretBytes, options: CoreOptions) throws(CoreError) -> SecretBytes

    /// Writes material in the form in which an application keeps it; one line without its end.
    static func exportMaterial(_ material: borrowing SecretBytes, options: CoreOptions) throws(CoreError) -> SecretBytes

    /// Prepares a core; what costs time (PBKDF2) is done here, once a key.
    ///
    /// - Parameters:
    ///   - options: What the keyring declares for this core.
    ///   - keys: The keys that may open, in the order in which they are to be tried.
    /// - Throws: ``CoreError`` with `callerOptionUnknown` or `callerKeyMalformed`.
    init(options: CoreOptions, keys: [KeyMaterial]) throws(CoreError)

    /// Tells what a value looks like; needs no key and costs next to nothing.
    func inspect(_ value: StoredValue) -> Inspection

    /// Opens values, each with its own result, in the order given.
    func open(_ items: [SealedItem]) -> [Result<OpenedValue, OpenFailure>]

    /// Seals values under one key, each with its own result, in the order given.
    func seal(_ items: [PlainItem], with key: KeyID) -> [Result<StoredValue, SealFailure>]

    /// The longest stored form, in bytes, of a plaintext of this many bytes.
    func maximumStoredLength(plaintextBytes: Int, form: ValueForm) -> Int

    /// The bytes that every value sealed under a key begins with, in this form; nil where ids are not exact.
    ///
    /// A byte that may differ is nil. SQL counts and fences by it.
    func mark(of key: KeyID, form: ValueForm) -> [UInt8?]?
}

/// Options that a keyring gives its core, as texts.
public typealias CoreOptions = [String: String]

/// A sealed value with the place it stands at.
public struct SealedItem: Sendable {
    /// The value.
    public let value: StoredValue
    /// Its place.
    public let context: ValueContext

    /// Makes an item.
    public init(_ value: StoredValue, context: ValueContext) {
        self.value = value
        self.context = context
    }
}

/// A plaintext with the place it is to stand at.
public struct PlainItem: Sendable {
    /// The plaintext.
    public let plaintext: Bytes
    /// Its place.
    public let context: ValueContext
    /// What else must be kept with it.
    public let attributes: ValueAttributes
    /// The form wanted.
    public let form: ValueForm
    /// Whether equal plaintexts must give equal values.
    public let isDeterministic: Bool

    /// Makes an item.
    public init(
        _ plaintext: Bytes, context: ValueContext, attributes: ValueAttributes = ValueAttributes(), form: ValueForm,
        isDeterministic: Bool = false
    ) {
        self.plaintext = plaintext
        self.context = context
        self.attributes = attributes
        self.form = form
        self.isDeterministic = isDeterministic
    }
}

/// What opening gave.
public struct OpenedValue: Hashable, Sendable {
    /// The plaintext.
    public let plaintext: Bytes
    /// The key that really opened it, whatever the value hinted.
    public let key: KeyID
    /// What must be handed back to `seal`.
    public let attributes: ValueAttributes
    /// Whether the value was sealed deterministically.
    public let isDeterministic: Bool

    /// Makes a result.
    public init(
        plaintext: Bytes, key: KeyID, attributes: ValueAttributes = ValueAttributes(), isDeterministic: Bool = false
    ) {
        self.plaintext = plaintext
        self.key = key
        self.attributes = attributes
        self.isDeterministic = isDeterministic
    }
}

/// Why a value did not open.
public enum OpenFailure: String, Error, CaseIterable, Sendable {
    /// Not of the format, truncated, or of a version that is not known.
    case malformed = "dataMalformed"
    /// Sealed under a key that the core does not hold.
    case unknownKey = "dataUnknownKey"
    /// Wrong key or changed bytes; the two cannot be told apart.
    case authenticationFailed = "dataNotAuthentic"
    /// Sealed for another place, or under other material with the same id.
    case contextMismatch = "dataContextMismatch"
    /// Larger than a core will open.
    case tooLarge = "dataTooLarge"
}

/// Why a value was not sealed.
public enum SealFailure: String, Error, CaseIterable, Sendable {
    /// The core does not hold that key.
    case unknownKey = "keyUnknown"
    /// Larger than the format or the core allows.
    case tooLarge = "dataTooLarge"
    /// The format cannot keep an attribute or a binding that was asked for.
    case notExpressible = "callerNotExpressible"
    /// The cryptographic library refused; never the value's fault.
    case internalFailure = "internalCipherFailed"
}

/// Says why a core could not be set up.
public struct CoreError: Error, Hashable, Sendable {
    /// Stable names, the same in logs, JSON and scripts.
    public enum Code: String, Sendable {
        /// The core has no such option or the option no such value; correcting it helps.
        case callerOptionUnknown
        /// Key material has the wrong size or form; correcting it helps.
        case callerKeyMalformed
        /// A known answer did not come out: the build or the machine is not to be trusted.
        case internalSelfTestFailed
        /// The cryptographic library refused.
        case internalCipherFailed
    }

    /// Which of them.
    public let code: Code
    /// What could not be done, and why; lower case, one line, without secrets.
    public let message: String
    /// What to do about it.
    public let hint: String?

    /// Makes an error.
    public init(_ code: Code, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }
}

extension CoreError: CodedError {
    /// The stable name of the code.
    public var codeName: String { code.rawValue }
}
