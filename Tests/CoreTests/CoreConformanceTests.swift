import Fernet
import KR1
import KeyModel
import PluginConformance
import PluginKit
import Testing

struct CoreConformanceTests {
    @Test(arguments: [1, 2] as [UInt64])
    func kr1Conforms(seed: UInt64) async {
        await expectConformance(CoreConformance(KR1.self, seed: seed))
    }

    @Test(arguments: [
        [:], ["derivation": "django-fernet-fields"], ["derivation": "sqlalchemy-utils"],
        ["derivation": "django-fernet-encrypted-fields", "salt": "pepper"],
    ])
    func fernetConforms(options: CoreOptions) async {
        await expectConformance(CoreConformance(Fernet.self, options: options))
    }

    /// A suite that cannot fail proves nothing.
    @Test
    func aCoreThatForgetsThePlaceIsCaught() async {
        let failures = await CoreConformance(Forgetful.self).run().filter { !$0.isPass }.map(\.name)
        #expect(failures == ["no value opens at another place"])
    }

    @Test
    func aCoreThatSwapsResultsIsCaught() async {
        let failures = await CoreConformance(Swapping.self).run().filter { !$0.isPass }.map(\.name)
        #expect(failures.contains("results stand in the order of the batch"))
        #expect(failures.contains("a bad value does not fail its neighbours"))
    }

    private func expectConformance(_ suite: CoreConformance) async {
        let results = await suite.run()
        #expect(results.count > 20)
        for result in results { #expect(result.isPass, "\(result)") }
    }
}

/// KR1 with something broken about it.
private protocol BrokenCore: EncryptionCore {
    var whole: KR1 { get }
}

extension BrokenCore {
    static var descriptor: CoreDescriptor { KR1.descriptor }
    static func selfTest() throws(CoreError) { try KR1.selfTest() }
    static func generateMaterial(options: CoreOptions) throws(CoreError) -> SecretBytes {
        try KR1.generateMaterial(options: options)
    }
    static func importMaterial(_ text: borrowing SecretBytes, options: CoreOptions) throws(CoreError) -> SecretBytes {
        try KR1.importMaterial(text, options: options)
    }
    static func exportMaterial(_ material: borrowing SecretBytes, options: CoreOptions) throws(CoreError) -> SecretBytes
    {
        try KR1.exportMaterial(material, options: options)
    }
    func inspect(_ value: StoredValue) -> Inspection { whole.inspect(value) }
    func open(_ items: [SealedItem]) -> [Result<OpenedValue, OpenFailure>] { whole.open(items) }
    func seal(_ items: [PlainItem], with key: KeyID) -> [Result<StoredValue, SealFailure>] {
        whole.seal(items, with: key)
    }
    func maximumStoredLength(plaintextBytes: Int, form: ValueForm) -> Int {
        whole.maximumStoredLength(plaintextBytes: plaintextBytes, form: form)
    }
    func mark(of key: KeyID, form: ValueForm) -> [UInt8?]? { whole.mark(of: key, form: form) }
}

/// Claims every binding and keeps the kind alone.
private struct Forgetful: BrokenCore {
    let whole: KR1

    init(options: CoreOptions, keys: [KeyMaterial]) throws(CoreError) { whole = try KR1(options: options, keys: keys) }

    func open(_ items: [SealedItem]) -> [Result<OpenedValue, OpenFailure>] {
        whole.open(items.map { SealedItem($0.value, context: blurred($0.context)) })
    }

    func seal(_ items: [PlainItem], with key: KeyID) -> [Result<StoredValue, SealFailure>] {
        whole.seal(
            items.map {
                PlainItem(
                    $0.plaintext, context: blurred($0.context), attributes: $0.attributes, form: $0.form,
                    isDeterministic: $0.isDeterministic)
            }, with: key)
    }

    private func blurred(_ context: ValueContext) -> ValueContext {
        context.scheme == .row ? .row(namespace: "", name: "", key: []) : context
    }
}

/// Answers a batch from its end.
private struct Swapping: BrokenCore {
    let whole: KR1

    init(options: CoreOptions, keys: [KeyMaterial]) throws(CoreError) { whole = try KR1(options: options, keys: keys) }

    func open(_ items: [SealedItem]) -> [Result<OpenedValue, OpenFailure>] { whole.open(items).reversed() }
}
