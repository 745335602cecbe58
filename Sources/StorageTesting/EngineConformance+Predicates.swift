internal import PluginKit
internal import Storage

extension EngineConformance {
    static var predicateCases: [ConformanceCase] {
        [
            ConformanceCase("a predicate of one expression is taken") { fixture in
                try await fixture.makeTable(rows: 1)
                let good = [
                    "flag = 1", "flag IS NOT NULL AND (c <> 'x' OR flag > 1)", "c = ');--' -- why", "c = 'it''s'",
                    "flag = 1 /* (;? */", "\"flag\" = 1", "id IN (SELECT id FROM t WHERE flag = 1)", "t.flag = 1",
                    "\n flag = 1 \n", "CASE WHEN flag = 1 THEN c ELSE 'x' END = 'v1'",
                ]
                for predicate in good {
                    try await fixture.engine.read { try $0.checkPredicate(predicate, on: TableName(name: "t")) }
                }
            },
            ConformanceCase("whatever is not one expression is refused") { fixture in
                try await fixture.makeTable(rows: 1)
                let evil = [
                    "", "  ", "-- nothing", "1) OR (1", "flag = 1)", "(flag = 1", "flag = 1; DROP TABLE t", "flag = 1;",
                    "flag = 1 /* open", "c = 'open", "\"open", "flag = ?", "flag = :p", "flag = $1",
                    "flag = 1 ORDER BY 1",
                    "nosuch = 1", "\"nosuch\" = 1", "gone.flag = 1", "count(*) > 0", "flag = 1\0 OR 1 = 1", "SELECT",
                    "flag = 1) UNION SELECT 1 FROM t WHERE (1 = 1", "nosuchfunction(flag) = 1", "(DELETE FROM t)",
                    "flag = 1 -- ) \n ) OR (1 = 1",
                ]
                for predicate in evil {
                    try await expectError(.callerSQLMalformed, predicate) {
                        try await fixture.engine.read { try $0.checkPredicate(predicate, on: TableName(name: "t")) }
                    }
                }
                try expectEqual(try await fixture.value(1), .text("v1"), "the row after all that")
            },
            ConformanceCase("a predicate for a table that is not there names the table") { fixture in
                try await expectError(.storeObjectMissing, "check") {
                    try await fixture.engine.read { try $0.checkPredicate("1 = 1", on: TableName(name: "gone")) }
                }
            },
        ]
    }
}
