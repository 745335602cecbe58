internal import KeyModel
internal import PluginKit
internal import Testing

struct KeyMaterialTests {
    private struct Refused: Error {}

    @Test func lendsItsBytesUnderItsID() throws {
        let id = try #require(KeyID(7))
        let material = KeyMaterial(id: id, secret: SecretBytes(copying: [9, 8, 7]))
        #expect(material.id == id && material.count == 3)
        #expect(material.withExposedBytes { Array($0) } == [9, 8, 7])
        #expect(material.withSecret { $0.isEqual(to: SecretBytes(copying: [9, 8, 7])) })
    }

    @Test func passesOnWhatTheBorrowerThrows() throws {
        let material = KeyMaterial(id: try #require(KeyID(7)), secret: SecretBytes(copying: [1]))
        #expect(throws: Refused.self) { try material.withExposedBytes { _ in throw Refused() } }
        #expect(throws: Refused.self) { try material.withSecret { _ in throw Refused() } }
    }

    @Test func sharesOneCopyAmongItsUsers() throws {
        let material = KeyMaterial(id: try #require(KeyID(7)), secret: SecretBytes(copying: [1, 2]))
        let other = material
        let addresses = [material, other].map { $0.withExposedBytes { UInt(bitPattern: $0.baseAddress) } }
        #expect(addresses[0] == addresses[1])
    }

    @Test func saysNothingOfItsBytesWhenPrinted() throws {
        let material = KeyMaterial(id: try #require(KeyID(7)), secret: SecretBytes(copying: Array("decoy-secret".utf8)))
        var text = "\(material)"
        dump(material, to: &text)
        #expect(text.contains("KeyMaterial") && !text.contains("decoy") && !text.contains("100"))
    }
}
