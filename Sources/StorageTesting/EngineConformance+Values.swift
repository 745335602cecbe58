internal import PluginKit
internal import Storage

extension EngineConformance {
    static var valueCases: [ConformanceCase] {
        [
            ConformanceCase("text goes in and comes out byte for byte") { fixture in
                try await roundTrip(texts(fixture.dialect), columnType: fixture.dialect.textType, fixture) { bytes in
                    (.text(bytes), fixture.dialect.textLiteral(bytes))
                }
            },
            ConformanceCase("bytes go in and come out byte for byte") { fixture in
                let values = texts(fixture.dialect) + [Array(0...255), [0], Array(repeating: 0xA5, count: 1 << 20)]
                try await roundTrip(values, columnType: fixture.dialect.blobType, fixture) { bytes in
                    (.blob(bytes), fixture.dialect.blobLiteral(bytes))
                }
            },
        ]
    }

    private static func texts(_ dialect: ConformanceDialect) -> [[UInt8]] {
        let plain = [
            "", " ", "a", "it's", "\"", "💧é漢", "e\u{301}", "\u{FEFF}x", "123", "1e3", "true", "null", "\n\r\t",
        ]
        let large = [UInt8](String(repeating: "0123456789abcdé", count: 1 << 16).utf8)
        let wild: [[UInt8]] = [[0x61, 0, 0x62], [0], [0xFF, 0xFE, 0x80], [0xC3], [0xED, 0xA0, 0x80]]
        return plain.map { [UInt8]($0.utf8) } + [large] + (dialect.storesAnyBytesAsText ? wild : [])
    }

    /// Each value is put in by the application and read, then a copy is swapped in from another value and read again.
    private static func roundTrip(
        _ values: [[UInt8]], columnType: String, _ fixture: Fixture,
        _ written: ([UInt8]) -> (StoredValue, literal: String)
    ) async throws {
        try await fixture.makeTable(columnType: columnType)
        for (index, bytes) in values.enumerated() {
            let (value, literal) = written(bytes)
            let key = RowKey([.integer(Int64(index))])
            try await fixture.run("INSERT INTO t (id, c) VALUES (\(index), \(literal))")
            try expectEqual(try await fixture.value(Int64(index)), value, "value \(index) as the application wrote it")
            let other = written([0x7A, 0x7A]).0
            try expectEqual(
                try await fixture.swap([Swap(key: key, old: value, new: other), Swap(key: key, old: other, new: value)]
                ),
                [true, true], "swaps of value \(index)")
            try expectEqual(try await fixture.value(Int64(index)), value, "value \(index) as we wrote it")
        }
        let rows = try await fixture.allRows(WindowRequest(target: .plain, scope: .all, rowLimit: 3))
        try expectEqual(rows.map(\.value), values.map { written($0).0 }, "values in windows")
    }
}
