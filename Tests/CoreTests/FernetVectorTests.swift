import Fernet
import KeyModel
import PluginKit
import Testing
import VectorTesting

struct FernetVectorTests {
    @Test
    func everyVectorComesOutAsItMust() throws {
        var opened = 0
        var refused = 0
        try VectorFile("formats/fernet.jsonl", of: VectorCase.self).forEach { entry in
            if entry.must_fail == true {
                try refuse(entry)
                refused += 1
            } else {
                try open(entry)
                opened += 1
            }
        }
        print("vectors: fernet: \(opened) opened, \(refused) refused")
    }

    private func open(_ entry: VectorCase) throws {
        let core = try core(entry)
        let stored = try entry.stored()
        let result = try core.openOne(stored)
        let key = try keyID(UInt32(try #require(entry.expect_key)) + 1)
        #expect(result.plaintext == (try entry.plaintext()), "\(entry.id)")
        #expect(result.key == key, "\(entry.id)")
        #expect(core.inspect(stored) == .mine(.none), "\(entry.id)")
        // django-fernet-fields keeps its tokens as ASCII in a binary column.
        let blob = StoredValue.blob(try #require(stored.bytes))
        #expect(try core.openOne(blob) == result, "\(entry.id)")
        let item = PlainItem(result.plaintext, context: .none, attributes: result.attributes, form: .text)
        let sealed = try core.sealOne(item, with: key)
        #expect(try core.openOne(sealed) == result, "\(entry.id)")
        #expect(sealed.bytes?.count == stored.bytes?.count, "\(entry.id)")
        // The version and the timestamp stand in the first nine bytes: twelve characters.
        #expect(sealed.bytes?.prefix(12) == stored.bytes?.prefix(12), "\(entry.id)")
    }

    private func refuse(_ entry: VectorCase) throws {
        let core = try core(entry)
        let stored = try entry.stored()
        let failure = core.failureOfOpening(stored)
        #expect(failure != nil, "\(entry.id) opens")
        if let failure { #expect(try entry.allowedFailures().contains(failure), "\(entry.id): \(failure)") }
    }

    private func core(_ entry: VectorCase) throws -> Fernet {
        let first = try #require(entry.keys.first)
        let options = try options(first)
        let keys = try entry.keys.enumerated().map { index, key in
            let text = try #require(key.key ?? key.secret ?? key.secret_key)
            let secret = try Fernet.importMaterial(SecretBytes(copying: Bytes(text.utf8)), options: options)
            return KeyMaterial(id: try keyID(UInt32(index) + 1), secret: secret)
        }
        return try Fernet(options: options, keys: keys)
    }

    private func options(_ key: VectorCase.Key) throws -> CoreOptions {
        switch key.kind {
        case "fernet": [:]
        case "django-fernet-fields": ["derivation": "django-fernet-fields"]
        case "django-fernet-encrypted-fields":
            ["derivation": "django-fernet-encrypted-fields", "salt": try #require(key.salt_key)]
        case "sqlalchemy-utils-fernet": ["derivation": "sqlalchemy-utils"]
        default: throw FixtureError(reason: "no such kind of key")
        }
    }
}
