internal import Foundation
internal import KeyModel
internal import PluginConformance
internal import PluginKit
internal import Providers
internal import Testing

struct LocalProviderTests {
    private let scratch: Scratch
    private let provider: LocalProvider
    private let binding: WrapBinding

    init() throws {
        scratch = try Scratch()
        provider = try LocalProvider.create(at: scratch.root, time: someTime)
        binding = WrapBinding(instance: "i-1", keyring: try Name("main"), key: try #require(KeyID(0xCAFE)))
    }

    @Test func keepsWhatEveryProviderPromises() async {
        let results = await ProviderConformance(provider, binding: binding).run()
        #expect(!results.isEmpty)
        for result in results { #expect(result.failure == nil, "\(result.name): \(result.failure ?? "")") }
    }

    @Test func namesTheGenerationThatWrapped() async throws {
        let first = try await wrap()
        #expect(first.providerKeyID == "local:1:\(provider.newest.fingerprint)")
        try provider.appendGeneration(at: someTime)
        let second = try await wrap()
        #expect(second.providerKeyID == "local:2:\(provider.newest.fingerprint)")
        #expect(try await provider.describeKey(call).id == second.providerKeyID)
        try await expectUnwraps(first)
        try await expectUnwraps(second)
    }

    @Test func wrapsAreNativeValuesThatNameTheirGeneration() async throws {
        try provider.appendGeneration(at: someTime)
        let wrapped = try await wrap()
        #expect(wrapped.ciphertext.prefix(8).elementsEqual([0xF9, 1, 0, 3, 0, 0, 0, 2]))
        #expect(wrapped.ciphertext.count == 32 + 72)
    }

    @Test func unwrapsAfterBeingOpenedAgain() async throws {
        let wrapped = try await wrap()
        let reopened = try LocalProvider(opening: scratch.root)
        let material = try await reopened.unwrap(wrapped, binding: binding, call)
        let isSame = material.isEqual(to: Self.material)
        #expect(isSame)
    }

    @Test func aGenerationIsOnTheDiskBeforeAnythingIsWrappedUnderIt() async throws {
        try provider.appendGeneration(at: someTime)
        let stored = try LocalProvider(opening: scratch.root)
        #expect(stored.newest.providerKeyID == provider.newest.providerKeyID)
        #expect(try await wrap().providerKeyID == stored.newest.providerKeyID)
    }

    @Test func refusesWrapsOfAForeignRootKey() async throws {
        let wrapped = try await wrap()
        let foreign = try LocalProvider.create(at: scratch.path("foreign.key"), time: someTime)
        let error = try #require(await failure { _ = try await foreign.unwrap(wrapped, binding: binding, call) })
        #expect(error.code == .providerKeyUnknown)
        // Even where the foreign key is named in the wrap, nothing comes out.
        let renamed = WrappedKey(ciphertext: wrapped.ciphertext, providerKeyID: foreign.newest.providerKeyID)
        let second = try #require(await failure { _ = try await foreign.unwrap(renamed, binding: binding, call) })
        #expect(second.code == .dataNotAuthentic)
    }

    @Test(arguments: [
        "", "local", "local:1", "local:1:", "local:01:@", "local:2:@", "LOCAL:1:@", "local:1:@ ", "\u{1B}[2J",
    ])
    func refusesNamesOfNoGenerationItHolds(name: String) async throws {
        let wrapped = try await wrap()
        let id = name.replacingOccurrences(of: "@", with: provider.newest.fingerprint)
        let changed = WrappedKey(ciphertext: wrapped.ciphertext, providerKeyID: id)
        let error = try #require(await failure { _ = try await provider.unwrap(changed, binding: binding, call) })
        #expect(error.code == .providerKeyUnknown && !error.message.contains("\u{1B}"))
    }

    @Test func refusesAWrapOfOneGenerationUnderTheNameOfAnother() async throws {
        let first = try await wrap()
        try provider.appendGeneration(at: someTime)
        let changed = WrappedKey(ciphertext: first.ciphertext, providerKeyID: provider.newest.providerKeyID)
        let error = try #require(await failure { _ = try await provider.unwrap(changed, binding: binding, call) })
        #expect(error.code == .dataNotAuthentic)
    }

    @Test func notOneMessageShowsAKey() async throws {
        let wrapped = try await wrap()
        let other = WrapBinding(instance: "i-2", keyring: binding.keyring, key: binding.key)
        var messages: [String] = []
        for changed in [wrapped, WrappedKey(ciphertext: [], providerKeyID: "local:9:x")] {
            let error = try #require(await failure { _ = try await provider.unwrap(changed, binding: other, call) })
            messages.append("\(error)")
        }
        messages.append("\(provider)")
        messages.append("\(provider.newest)")
        var dumped = ""
        dump(provider, to: &dumped)
        let root = try #require(secrets(in: scratch.text()).first)
        let bytes = Self.bytes.map(String.init).joined(separator: ", ")
        for message in messages + [dumped] { #expect(!message.contains(root) && !message.contains(bytes)) }
    }

    @Test func itsTestFindsAFileThatWasChangedUnderneath() async throws {
        #expect(try await provider.test(call).allSatisfy { $0.outcome == .pass })
        try scratch.setMode(0o644)
        #expect(try await provider.test(call).map(\.outcome) == [.fail, .pass])
        try FileManager.default.removeItem(atPath: scratch.root)
        _ = try RootKeyFile(path: scratch.root).create(at: someTime)
        #expect(try await provider.test(call).map(\.outcome) == [.fail, .pass])
    }

    @Test func everyFailedOpeningIsRefusedAtStart() throws {
        try scratch.setMode(0o660)
        #expect(refusal { _ = try LocalProvider(opening: scratch.root) } == .providerMisconfigured)
        #expect(refusal { _ = try LocalProvider(opening: scratch.path("none.key")) } == .providerMisconfigured)
    }

    private static let bytes = [UInt8](100..<132)
    private static var material: SecretBytes { SecretBytes(copying: bytes) }

    private func wrap() async throws -> WrappedKey {
        let material = Self.material
        return try await provider.wrap(material, binding: binding, call)
    }

    private func expectUnwraps(_ wrapped: WrappedKey) async throws {
        let material = try await provider.unwrap(wrapped, binding: binding, call)
        let isSame = material.isEqual(to: Self.material)
        #expect(isSame)
    }

    private func failure(_ body: () async throws -> Void) async -> ProviderError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? ProviderError
        }
    }
}
