internal import Fernet
internal import KR1
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Testing

struct CanaryTests {
    @Test(arguments: ["kr1", "fernet"])
    func everyCoreSealsOneThatOpensUnderItsKeyAlone(name: String) throws {
        let type = try CoreCatalogue([Fernet.self, KR1.self]).core(name)
        let (key, other) = (try #require(KeyID(7)), try #require(KeyID(8)))
        let core = try type.init(options: [:], keys: [try material(key, of: type), try material(other, of: type)])
        let canary = try Canary.seal(key, with: core)
        #expect(Canary.opens(canary, under: key, with: core))
        #expect(!Canary.opens(canary, under: other, with: core))
    }

    private func material(_ key: KeyID, of type: any EncryptionCore.Type) throws -> KeyMaterial {
        KeyMaterial(id: key, secret: try type.generateMaterial(options: [:]))
    }
}
