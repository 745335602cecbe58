internal import KeyModel
internal import PluginKit

extension CoreConformance {
    func selfTestPasses(_ bench: CoreBench) throws {
        try core.selfTest()
    }

    func generatedMaterialIsFresh(_ bench: CoreBench) throws {
        let first = try core.generateMaterial(options: options)
        let second = try core.generateMaterial(options: options)
        let count = first.count
        try require(core.descriptor.materialSizes.contains(count), "\(count) bytes are not a declared size")
        try require(KeyMaterial.sizes.contains(count), "\(count) bytes are more than a provider wraps")
        try require(!first.isEqual(to: second), "two calls made the same material")
    }

    func exportComesBack(_ bench: CoreBench) throws {
        let material = try core.generateMaterial(options: options)
        let text = try core.exportMaterial(material, options: options)
        let isOneLine = text.withExposedBytes { !$0.contains(where: { $0 == 0x0A || $0 == 0x0D }) }
        try require(isOneLine, "the exported text is not one line without its end")
        let back = try core.importMaterial(text, options: options)
        try require(material.isEqual(to: back), "other material comes back")
        let line = text.withExposedBytes { SecretBytes(copying: Bytes($0) + [0x0A]) }
        let fromLine = try core.importMaterial(line, options: options)
        try require(material.isEqual(to: fromLine), "other material comes back from a file with a line end")
    }

    func unknownOptionIsRefused(_ bench: CoreBench) throws {
        let wrong = options.merging(["no-such-option": "1"]) { old, _ in old }
        try expect(.callerOptionUnknown, "a core is set up") { _ = try core.init(options: wrong, keys: []) }
        try expect(.callerOptionUnknown, "material is made") { _ = try core.generateMaterial(options: wrong) }
        let material = try core.generateMaterial(options: options)
        try expect(.callerOptionUnknown, "material is exported") {
            _ = try core.exportMaterial(material, options: wrong)
        }
    }

    func wrongSizeIsRefused(_ bench: CoreBench) throws {
        let sizes = core.descriptor.materialSizes
        for count in [0, sizes.lowerBound - 1, sizes.upperBound + 1] where count >= 0 && !sizes.contains(count) {
            let material = KeyMaterial(
                id: bench.key, secret: SecretBytes(copying: Bytes(repeating: 0x41, count: count)))
            try expect(.callerKeyMalformed, "a key of \(count) bytes is taken") {
                _ = try core.init(options: options, keys: [material])
            }
        }
        try expect(.callerKeyMalformed, "an empty text is imported") {
            _ = try core.importMaterial(SecretBytes(copying: []), options: options)
        }
    }

    func wrongKeyIsRefused(_ bench: CoreBench) throws {
        for form in [ValueForm.blob, .text] {
            let value = try bench.seal(bench.item(Bytes("secret".utf8), form: form))
            let expected: OpenFailure = bench.descriptor.keyID == .exact ? .unknownKey : .authenticationFailed
            guard case .failure(let failure) = bench.other.open([bench.sealed(value)]).first else {
                throw Broken("a value opens under another key")
            }
            guard bench.descriptor.isAuthenticated else { continue }
            try require(failure == expected, "a wrong key gives \(failure.rawValue), not \(expected.rawValue)")
        }
    }

    func absentKeySealsNothing(_ bench: CoreBench) throws {
        let results = bench.other.seal([bench.item([1]), bench.item([2])], with: bench.key)
        try require(results == [.failure(.unknownKey), .failure(.unknownKey)], "results are not unknownKey twice")
    }

    func openingKeyIsNamed(_ bench: CoreBench) throws {
        let older = try bench.seal(bench.item([1]))
        guard case .success(let newer) = bench.core.seal([bench.item([2])], with: bench.otherKey).first else {
            throw Broken("the second key does not seal")
        }
        let keys = bench.core.open([older, newer].map(bench.sealed)).map { try? $0.get().key }
        try require(keys == [bench.key, bench.otherKey], "values of two keys do not name them")
    }

    private func expect(_ code: CoreError.Code, _ what: String, _ body: () throws -> Void) throws {
        do {
            try body()
        } catch let error as CoreError {
            return try require(error.code == code, "\(error.code.rawValue) instead of \(code.rawValue)")
        }
        throw Broken("\(what) all the same")
    }
}
