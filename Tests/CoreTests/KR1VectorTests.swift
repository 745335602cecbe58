import KR1
import KeyModel
import PluginKit
import Testing
import VectorTesting

struct KR1VectorTests {
    @Test
    func everyVectorComesOutAsItMust() throws {
        var opened = 0
        var refused = 0
        try VectorFile("formats/kr1.jsonl", of: VectorCase.self).forEach { entry in
            if entry.must_fail == true {
                try refuse(entry)
                refused += 1
            } else {
                try open(entry)
                opened += 1
            }
        }
        print("vectors: kr1: \(opened) opened, \(refused) refused")
    }

    private func open(_ entry: VectorCase) throws {
        let core = try core(entry)
        let stored = try entry.stored()
        let context = try context(entry)
        let expected = try entry.plaintext()
        let result = try core.openOne(stored, context: context)
        let expectedIndex = try #require(entry.expect_key)
        let key = try keyID(try #require(entry.keys[expectedIndex].id))
        let flags = try #require(entry.params?.flags)
        #expect(result.plaintext == expected, "\(entry.id)")
        #expect(result.key == key, "\(entry.id)")
        #expect(result.attributes.isText == (flags & 4 != 0), "\(entry.id)")
        #expect(result.isDeterministic == (flags & 2 != 0), "\(entry.id)")
        #expect(core.inspect(stored) == .mine(.exact(key)), "\(entry.id)")
        let form = try #require(stored.form)
        let item = PlainItem(
            expected, context: context, attributes: result.attributes, form: form,
            isDeterministic: result.isDeterministic)
        let sealed = try core.sealOne(item, with: key)
        #expect((sealed == stored) == (entry.deterministic == true), "\(entry.id)")
        #expect(sealed.bytes?.count == stored.bytes?.count, "\(entry.id)")
        #expect(try core.openOne(sealed, context: context) == result, "\(entry.id)")
    }

    private func refuse(_ entry: VectorCase) throws {
        let core = try core(entry)
        let stored = try entry.stored()
        let failure = core.failureOfOpening(stored, context: try context(entry))
        #expect(failure != nil, "\(entry.id) opens")
        if let failure { #expect(try entry.allowedFailures().contains(failure), "\(entry.id): \(failure)") }
        #expect(core.inspect(stored) != .plaintext, "\(entry.id)")
    }

    private func core(_ entry: VectorCase) throws -> KR1 {
        try KR1(
            options: [:], keys: entry.keys.map { try material(try #require($0.id), base64(try #require($0.key_b64))) })
    }

    private func context(_ entry: VectorCase) throws -> ValueContext {
        let parts = try (entry.params?.context_b64 ?? []).map(base64)
        switch entry.variant {
        case "caller-context": return .caller(parts)
        default: break
        }
        guard parts.count >= 2 else { return parts.isEmpty ? .none : .caller(parts) }
        let column = ValueContext.column(
            namespace: String(decoding: parts[0], as: UTF8.self), name: String(decoding: parts[1], as: UTF8.self))
        return parts.count == 2 && entry.variant == "deterministic" ? column : column.row(Array(parts.dropFirst(2)))
    }
}
