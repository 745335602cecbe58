internal import KeyModel
internal import PluginKit

extension CoreConformance {
    private static let sizes = [0, 1, 15, 16, 17, 80, 255, 4096, 1 << 20]

    func roundTrips(_ bench: CoreBench) throws {
        var random = SplitMix(seed: seed)
        for size in Self.sizes {
            let plaintext = random.bytes(size)
            for context in bench.contexts {
                for form in [ValueForm.blob, .text] {
                    let value = try bench.seal(PlainItem(plaintext, context: context, form: form))
                    try require(value.form == form, "\(form.rawValue) was asked for and is not what came")
                    if form == .text { try requirePrintable(value) }
                    let opened = try bench.open(value, context: context)
                    try require(opened.plaintext == plaintext, "\(size) bytes come back as others (seed \(seed))")
                }
            }
        }
    }

    func orderIsKept(_ bench: CoreBench) throws {
        let plaintexts = (0..<200).map { Bytes(repeating: UInt8($0), count: ($0 * 37) % 101) }
        let values = try bench.seal(plaintexts.map { bench.item($0) })
        let opened = bench.core.open(values.map(bench.sealed)).map { try? $0.get().plaintext }
        try require(opened == plaintexts, "200 values come back in another order")
    }

    func emptyBatch(_ bench: CoreBench) throws {
        try require(bench.core.open([]).isEmpty && bench.core.seal([], with: bench.key).isEmpty, "there are some")
    }

    func badValueIsAlone(_ bench: CoreBench) throws {
        let good = try bench.seal(bench.item(Bytes("good".utf8)))
        var damaged = good.bytes ?? []
        damaged[damaged.count / 2] ^= 1
        let bad: [StoredValue] = [.null, .blob([]), .other("7"), .blob(damaged), .text(Bytes("plain".utf8))]
        let results = bench.core.open(bad.flatMap { [good, $0] }.map(bench.sealed))
        try require(results.count == 2 * bad.count, "\(2 * bad.count) values gave \(results.count) results")
        for (index, result) in results.enumerated() {
            if index % 2 == 0, case .failure(let failure) = result {
                throw Broken("a good value gave \(failure.rawValue)")
            }
            if index % 2 == 1, case .success = result { throw Broken("a bad value opened") }
        }
    }

    func attributesSurvive(_ bench: CoreBench) throws {
        let attributes = [
            ValueAttributes(), ValueAttributes(isText: true), ValueAttributes(timestamp: 499_162_800),
            ValueAttributes(isText: true, timestamp: 0), ValueAttributes(others: ["conformance": [1, 2]]),
        ]
        for wanted in attributes {
            let item = PlainItem(Bytes("text".utf8), context: bench.context, attributes: wanted, form: .text)
            switch bench.core.seal([item], with: bench.key).first {
            case .failure(.notExpressible) where wanted != ValueAttributes(): continue
            case .success(let value): try requireSurvival(of: wanted, in: value, bench)
            case .failure(let failure): throw Broken("attributes gave \(failure.rawValue)")
            case nil: throw Broken("one item gave no result")
            }
        }
    }

    func determinismHolds(_ bench: CoreBench) throws {
        let plain = bench.item(Bytes("same".utf8))
        let asked = PlainItem(plain.plaintext, context: plain.context, form: .blob, isDeterministic: true)
        let isPlainEqual = try bench.seal(plain) == bench.seal(plain)
        try require(isPlainEqual == (bench.descriptor.determinism == .always), "two seals are wrongly equal or unequal")
        guard bench.descriptor.determinism != .never else {
            let refused = bench.core.seal([asked], with: bench.key)
            return try require(refused == [.failure(.notExpressible)], "determinism is not refused")
        }
        let value = try bench.seal(asked)
        try require(try value == bench.seal(asked), "two deterministic seals differ")
        try require(try bench.open(value, context: bench.context).isDeterministic, "the opened value does not say so")
        let another = PlainItem(Bytes("sane".utf8), context: plain.context, form: .blob, isDeterministic: true)
        try require(try value != bench.seal(another), "two plaintexts give the same value")
    }

    func lengthsHold(_ bench: CoreBench) throws {
        var random = SplitMix(seed: seed)
        for size in Array(0...100) + [1000, 65_536] {
            for form in [ValueForm.blob, .text] {
                let stored = try bench.seal(bench.item(random.bytes(size), form: form)).bytes?.count ?? 0
                let bound = bench.core.maximumStoredLength(plaintextBytes: size, form: form)
                try require(stored <= bound, "\(size) bytes take \(stored) as \(form.rawValue), more than \(bound)")
                try require(bound <= stored + 64 + stored / 20, "\(size) bytes take \(stored), far less than \(bound)")
            }
        }
    }

    private func requireSurvival(of wanted: ValueAttributes, in value: StoredValue, _ bench: CoreBench) throws {
        let opened = try bench.open(value, context: bench.context)
        try require(opened.attributes.isText == wanted.isText, "the mark of text is lost")
        if wanted.timestamp != nil { try require(opened.attributes.timestamp == wanted.timestamp, "the time is lost") }
        if !wanted.others.isEmpty { try require(opened.attributes.others == wanted.others, "others are lost") }
        let again = PlainItem(
            opened.plaintext, context: bench.context, attributes: opened.attributes, form: .text,
            isDeterministic: opened.isDeterministic)
        let reopened = try bench.open(try bench.seal(again), context: bench.context)
        try require(reopened == opened, "sealed anew with what opening gave, it opens to something else")
    }

    private func requirePrintable(_ value: StoredValue) throws(Broken) {
        let isPrintable = value.bytes?.allSatisfy { (0x20...0x7E).contains($0) } ?? false
        try require(isPrintable, "the text form is not printable ASCII")
    }
}
