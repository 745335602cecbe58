internal import KeyModel
internal import PluginKit

/// A core with two keys, a core with the second of them alone, and what checks do with them.
struct CoreBench: Sendable {
    let core: any EncryptionCore
    let other: any EncryptionCore
    let key: KeyID
    let otherKey: KeyID
    let descriptor: CoreDescriptor

    init(_ suite: CoreConformance) throws {
        guard let key = KeyID(0x0102_0304), let otherKey = KeyID(0xFFFF_FFFF) else { throw Broken("no key ids") }
        let first = KeyMaterial(id: key, secret: try suite.core.generateMaterial(options: suite.options))
        let second = KeyMaterial(id: otherKey, secret: try suite.core.generateMaterial(options: suite.options))
        core = try suite.core.init(options: suite.options, keys: [first, second])
        other = try suite.core.init(options: suite.options, keys: [second])
        self.key = key
        self.otherKey = otherKey
        descriptor = suite.core.descriptor
    }

    /// The tightest binding that the core declares.
    var context: ValueContext {
        contexts.last ?? .none
    }

    /// A context for each binding that the core declares.
    var contexts: [ValueContext] {
        [ValueContext.Scheme.none, .column, .caller, .row].filter(descriptor.bindings.contains).map(Self.context)
    }

    static func context(_ scheme: ValueContext.Scheme) -> ValueContext {
        switch scheme {
        case .none: .none
        case .column: .column(namespace: "app", name: "users.email")
        case .row: .row(namespace: "app", name: "users.email", key: [Bytes("42".utf8)])
        case .caller: .caller([Bytes("tenant".utf8), [0, 0xFF]])
        }
    }

    func item(_ plaintext: Bytes, form: ValueForm = .blob) -> PlainItem {
        PlainItem(plaintext, context: context, form: form)
    }

    func sealed(_ value: StoredValue) -> SealedItem { SealedItem(value, context: context) }

    /// Seals, expecting success.
    func seal(_ items: [PlainItem]) throws(Broken) -> [StoredValue] {
        let results = core.seal(items, with: key)
        try require(results.count == items.count, "\(items.count) items gave \(results.count) results")
        var values: [StoredValue] = []
        for (item, result) in zip(items, results) {
            switch result {
            case .success(let value): values.append(value)
            case .failure(let failure):
                throw Broken(
                    "\(item.plaintext.count) bytes are not sealed as \(item.form.rawValue): \(failure.rawValue)")
            }
        }
        return values
    }

    /// Seals one, expecting success.
    func seal(_ item: PlainItem) throws(Broken) -> StoredValue {
        guard let value = try seal([item]).first else { throw Broken("one item gave no result") }
        return value
    }

    /// Opens one, expecting success.
    func open(_ value: StoredValue, context: ValueContext) throws(Broken) -> OpenedValue {
        switch core.open([SealedItem(value, context: context)]).first {
        case .success(let opened): return opened
        case .failure(let failure): throw Broken("a sealed value does not open: \(failure.rawValue)")
        case nil: throw Broken("one item gave no result")
        }
    }

    /// Opens many, expecting every one to fail.
    func refuse(_ items: [SealedItem], by core: any EncryptionCore, _ what: (Int) -> String) throws(Broken) {
        let results = core.open(items)
        try require(results.count == items.count, "\(items.count) items gave \(results.count) results")
        for (index, result) in results.enumerated() {
            if case .success = result { throw Broken("\(what(index)) opens") }
        }
    }
}
