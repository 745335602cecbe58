import Foundation
import Testing

/// Memory does not grow with the rows.
struct MemoryTests {
    private static let isLong = ProcessInfo.processInfo.environment["KEYTURN_LONG_TESTS"] != nil
    /// The most address space and the most resident memory that a run may have, in bytes and KiB.
    private static let addressSpace = 700 << 20
    private static let resident = 150 << 10

    /// Makes a ground whose table has so many rows of so many bytes, sealed.
    private func ground(rows: Int, bytes: Int) throws -> Ground {
        let ground = try Ground()
        try ground.sql(
            """
            CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT);
            WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < \(rows))
            INSERT INTO t SELECT x, substr(replace(hex(zeroblob(\(bytes / 2 + 1))), '0', 'x') || x, -\(bytes)) FROM c;
            """)
        try ground.write(Ground.configuration, to: "keyturn.lua")
        try ground.must("init --config keyturn.lua")
        return ground
    }

    /// The limited run is proven to be limited: a program that reads the whole table bursts under the same limit.
    @Test
    func aRunAndItsVerificationFitWhereTheTableDoesNot() throws {
        let (rows, bytes) = Self.isLong ? (400_000, 1024) : (700, 1 << 20)
        let ground = try ground(rows: rows, bytes: bytes)
        let limit = ["prlimit", "--as=\(Self.addressSpace)"]
        let whole = "import sqlite3; len(sqlite3.connect('a.db').execute('SELECT s FROM t').fetchall())"
        #expect(throws: SetupFailure.self) {
            try ground.tool("prlimit", ["--as=\(Self.addressSpace)", "python3", "-c", whole])
        }
        let adopted = try ground.keyturn("adopt t.s --yes --quiet", under: limit)
        #expect(adopted.status == 0, "\(adopted.all)")
        let rotated = try ground.keyturn("rotate main --yes --quiet", under: limit)
        #expect(rotated.status == 0, "\(rotated.all)")
        let verified = try ground.keyturn("verify --quiet", under: limit)
        #expect(verified.status == 0, "\(verified.all)")
        print(
            "memory: \(rows) rows of \(bytes) bytes: adopt \(adopted.peakKiB) KiB, rotate \(rotated.peakKiB) KiB, verify \(verified.peakKiB) KiB"
        )
        for ended in [rotated, verified] { #expect(ended.peakKiB < 4 * Self.resident) }
    }

    @Test
    func manyRowsNeedNoMoreThanFew() throws {
        let few = try peak(rows: 10_000)
        let many = try peak(rows: Self.isLong ? 300_000 : 100_000)
        print("memory: rotate \(few) KiB at 10,000 rows, \(many) KiB at \(Self.isLong ? 300_000 : 100_000)")
        #expect(many < Self.resident)
        #expect(many - few < 48 << 10)
    }

    private func peak(rows: Int) throws -> Int {
        let ground = try ground(rows: rows, bytes: 48)
        try ground.must("adopt t.s --yes --quiet")
        let rotated = try ground.must("rotate main --yes --quiet")
        return rotated.peakKiB
    }
}
