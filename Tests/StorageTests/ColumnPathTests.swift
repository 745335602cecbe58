import Storage
import Testing
import ToolTesting

struct ColumnPathTests {
    @Test(arguments: [
        ("t.c", nil, "t", "c"), ("s.t.c", "s", "t", "c"), ("\"a.b\".c", nil, "a.b", "c"),
        ("t.\"say \"\"hi\"\"\"", nil, "t", "say \"hi\""), ("größe.💧", nil, "größe", "💧"),
        ("\"\"\"\".c", nil, "\"", "c"), ("t.my column", nil, "t", "my column"),
    ])
    func pathsAreParsedAndWrittenBack(text: String, schema: String?, table: String, column: String) throws {
        let path = try ColumnPath(text)
        #expect(path == ColumnPath(table: TableName(schema: schema, name: table), column: column))
        #expect(try ColumnPath(path.description) == path)
    }

    @Test(arguments: [
        "", ".", "t", "t.", ".c", "a.b.c.d", "\"t.c", "t.\"c", "\"t\"x.c", "a\"b.c", "t..c", "\"\".c", "t.c\0",
        "t." + String(repeating: "x", count: 129),
    ])
    func whatNamesNoColumnIsRefused(text: String) {
        #expect { try ColumnPath(text) } throws: { ($0 as? StorageError)?.code == .callerNameMalformed }
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func anyNamesSurviveBeingWritten(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let alphabet = Array("ab.\" 'é\\💧\t\u{301}")
        for _ in 0..<2_000 {
            let parts = (0..<Int.random(in: 2...3, using: &generator)).map { _ in
                String(
                    (0..<Int.random(in: 1...6, using: &generator)).map { _ in
                        alphabet.randomElement(using: &generator) ?? "a"
                    })
            }
            let schema = parts.count == 3 ? parts[0] : nil
            let path = ColumnPath(
                table: TableName(schema: schema, name: parts[parts.count - 2]), column: parts[parts.count - 1])
            #expect((try? ColumnPath(path.description)) == path, "seed \(seed): \(path.description)")
        }
    }
}
