internal import KeyModel
internal import PluginKit

extension CoreConformance {
    func ownValuesAreRecognised(_ bench: CoreBench) throws {
        for form in [ValueForm.blob, .text] {
            for size in [0, 1, 80] {
                let value = try bench.seal(bench.item(Bytes(repeating: 0x61, count: size), form: form))
                guard case .mine(let hint) = bench.core.inspect(value) else {
                    throw Broken("a sealed value is not recognised as \(form.rawValue)")
                }
                switch hint {
                case .exact(let id): try require(id == bench.key, "the hint names another key")
                case .candidates(let ids): try require(ids.contains(bench.key), "the hint leaves the key out")
                case .none: try require(bench.descriptor.keyID == .none, "there is no hint")
                }
            }
        }
    }

    func marksHold(_ bench: CoreBench) throws {
        for form in [ValueForm.blob, .text] {
            let mark = bench.core.mark(of: bench.key, form: form)
            guard bench.descriptor.keyID == .exact else {
                try require(mark == nil, "there is a mark, though ids are not exact")
                continue
            }
            guard let mark else { throw Broken("there is no mark, though ids are exact") }
            for context in bench.contexts {
                let value = try bench.seal(PlainItem([1, 2, 3], context: context, form: form)).bytes ?? []
                let isMarked = value.count >= mark.count && zip(mark, value).allSatisfy { $0 == nil || $0 == $1 }
                try require(isMarked, "a value as \(form.rawValue) does not begin with it")
            }
            try require(mark != bench.core.mark(of: bench.otherKey, form: form), "two keys have the same mark")
        }
    }

    func othersAreRecognised(_ bench: CoreBench) throws {
        let plain: [StoredValue] = [
            .text(Bytes("hello".utf8)), .text(Bytes("{\"user\":\"x\"}".utf8)), .text(Bytes("a".utf8)),
            .blob([0, 1, 2, 3]), .other("42"), .text([0xC3, 0x28]),
        ]
        try require(bench.core.inspect(.null) == .null, "null is not")
        try require(bench.core.inspect(.text([])) == .empty, "empty text is not")
        try require(bench.core.inspect(.blob([])) == .empty, "empty binary is not")
        for value in plain { try require(bench.core.inspect(value) == .plaintext, "\(value) is not plaintext") }
        let all = plain + [.null, .text([]), .blob([])]
        let results = bench.core.open(all.map(bench.sealed))
        try require(results.allSatisfy { $0 == .failure(.malformed) }, "one of them is not refused as malformed")
    }

    func flippedBitsAreRefused(_ bench: CoreBench) throws {
        guard bench.descriptor.isAuthenticated else { return }
        for form in [ValueForm.blob, .text] {
            for size in [0, 33] {
                let bytes = try bench.seal(bench.item(Bytes(repeating: 0x62, count: size), form: form)).bytes ?? []
                let flipped = bytes.indices.flatMap { index in
                    (0..<8).map { bit in
                        var changed = bytes
                        changed[index] ^= 1 << bit
                        return bench.sealed(StoredValue(changed, as: form))
                    }
                }
                try bench.refuse(flipped, by: bench.core) { "bit \($0 % 8) of byte \($0 / 8) flipped: the value" }
            }
        }
    }

    func truncationsAreRefused(_ bench: CoreBench) throws {
        guard bench.descriptor.isAuthenticated else { return }
        for form in [ValueForm.blob, .text] {
            let bytes = try bench.seal(bench.item(Bytes(repeating: 0x62, count: 33), form: form)).bytes ?? []
            let cut = bytes.indices.flatMap { [Bytes(bytes[..<$0]), Bytes(bytes[($0 + 1)...])] }
            let lengthened = [bytes + [0x41], [0x41] + bytes, bytes + bytes, bytes + [0]]
            let items = (cut + lengthened).map { bench.sealed(StoredValue($0, as: form)) }
            try bench.refuse(items, by: bench.core) { "case \($0) of a cut or lengthened value" }
        }
    }

    /// The first half of a value still shows what it was; a core that called it plaintext would
    /// have it sealed twice.
    func brokenIsNotPlaintext(_ bench: CoreBench) throws {
        for form in [ValueForm.blob, .text] {
            let bytes = try bench.seal(bench.item(Bytes(repeating: 0x62, count: 80), form: form)).bytes ?? []
            for count in [bytes.count / 2, bytes.count - 1] {
                let inspection = bench.core.inspect(StoredValue(Bytes(bytes[..<count]), as: form))
                try require(inspection != .plaintext, "\(count) of \(bytes.count) bytes as \(form.rawValue) are")
            }
        }
    }

    func bindingsHold(_ bench: CoreBench) throws {
        for scheme in ValueContext.Scheme.allCases {
            let context = CoreBench.context(scheme)
            let results = bench.core.seal([PlainItem([1, 2, 3], context: context, form: .blob)], with: bench.key)
            guard bench.descriptor.bindings.contains(scheme) else {
                try require(results == [.failure(.notExpressible)], "binding \(scheme) is not refused at sealing")
                continue
            }
            guard case .success(let value) = results.first else { throw Broken("binding \(scheme) does not seal") }
            let elsewhere = Self.otherPlaces.filter { $0 != context }
            for place in elsewhere where bench.descriptor.bindings != [.none] || place.scheme != .none {
                guard case .failure(let failure) = bench.core.open([SealedItem(value, context: place)]).first else {
                    throw Broken("sealed with binding \(scheme), it opens at another place")
                }
                try require(failure == .contextMismatch, "another place gives \(failure.rawValue)")
            }
        }
    }

    private static let otherPlaces: [ValueContext] = [
        .none,
        .column(namespace: "app", name: "users.email"),
        .column(namespace: "app", name: "users.phone"),
        .column(namespace: "appusers", name: ".email"),
        .row(namespace: "app", name: "users.email", key: [Bytes("42".utf8)]),
        .row(namespace: "app", name: "users.email", key: [Bytes("43".utf8)]),
        .row(namespace: "app", name: "users.email", key: [Bytes("4".utf8), Bytes("2".utf8)]),
        .row(namespace: "app", name: "users.email", key: []),
        .row(namespace: "other", name: "users.email", key: [Bytes("42".utf8)]),
        .caller([Bytes("tenant".utf8)]),
        .caller([Bytes("tenant".utf8), [0xFF]]),
    ]
}
