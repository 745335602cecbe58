import Foundation
import Testing

/// Memory does not grow with the rows.
struct MemoryTests {
    private static let isLong = ProcessInfo.processInfo.environment["KEYTURN_LONG_TESTS"] != nil
    /// The most memory that a run may ask for, in bytes, and that it may hold, in KiB.
    private static let data = 230 << 20
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
    ///
    /// Ciphering hundreds of megabytes takes minutes in a debug build, so most values are plaintext that the policy keeps:
    /// they are read like the others. The long form seals 400,000 rows.
    @Test
    func aRunAndItsVerificationFitWhereTheTableDoesNot() throws {
        let ground = try Self.isLong ? ground(rows: 400_000, bytes: 1024) : ground(rows: 16, bytes: 1 << 20)
        let limit = ["prlimit", "--data=\(Self.data)"]
        let adopted = try ground.keyturn("adopt t.s --yes --quiet", under: limit)
        #expect(adopted.status == 0, "\(adopted.all)")
        if !Self.isLong { try keepPlaintext(in: ground) }
        let whole = "import sqlite3; len(sqlite3.connect('a.db').execute('SELECT s FROM t').fetchall())"
        #expect(throws: SetupFailure.self) {
            try ground.tool("prlimit", ["--data=\(Self.data)", "python3", "-c", whole])
        }
        let rotated = try ground.keyturn("rotate main --yes --quiet", under: limit)
        #expect(rotated.status == 0, "\(rotated.all)")
        let verified = try ground.keyturn("verify --quiet", under: limit)
        #expect(verified.status == 0, "\(verified.all)")
        print("memory: adopt \(adopted.peakKiB) KiB, rotate \(rotated.peakKiB) KiB, verify \(verified.peakKiB) KiB")
        #expect(max(rotated.peakKiB, verified.peakKiB) < Self.resident)
    }

    private func keepPlaintext(in ground: Ground) throws {
        try ground.write(
            Ground.configuration.replacing("key = \"id\"", with: "key = \"id\", plaintext = \"keep\""),
            to: "keyturn.lua")
        try ground.must("rotate main --yes --quiet")
        try ground.sql(
            """
            WITH RECURSIVE c (x) AS (SELECT 101 UNION ALL SELECT x + 1 FROM c WHERE x < 400)
            INSERT INTO t SELECT x, replace(hex(zeroblob(524288)), '0', 'y') FROM c;
            """)
    }

    @Test
    func manyRowsNeedNoMoreThanFew() throws {
        let few = try peak(rows: 10_000)
        let many = try peak(rows: Self.isLong ? 300_000 : 60_000)
        print("memory: rotate \(few) KiB at 10,000 rows, \(many) KiB at \(Self.isLong ? 300_000 : 60_000)")
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
