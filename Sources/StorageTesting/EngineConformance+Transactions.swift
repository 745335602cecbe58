internal import Dispatch
internal import PluginKit
internal import Storage

private struct Interruption: Error {}

extension EngineConformance {
    static var transactionCases: [ConformanceCase] {
        [
            ConformanceCase("a transaction whose body throws leaves nothing, and throws just that", rollsBack),
            ConformanceCase("a transaction is seen by other engines once it returns") { fixture in
                try await fixture.makeTable(rows: 1)
                let other = try await fixture.database.openEngine()
                _ = try await fixture.swap([Swap(1, "v1", "new")])
                let rows = try await other.read { try $0.readRows([RowKey([.integer(1)])], of: .plain) }
                await other.close()
                try expectEqual(rows.first?.value, .text("new"), "the value through another engine")
            },
            ConformanceCase("nothing is written while reading") { fixture in
                try await fixture.makeTable(rows: 1)
                try await expectError(.storeReadOnly, "a swap while reading") {
                    _ = try await fixture.engine.read { try $0.swap([Swap(1, "v1", "new")], in: .plain) }
                }
                try expectEqual(try await fixture.value(1), .text("v1"), "the value")
            },
            ConformanceCase("a writer of the same row waits for the other and then sees its value", waits),
            ConformanceCase("a call whose task was cancelled before it began runs nothing") { fixture in
                try await fixture.makeTable(rows: 1)
                let task = Task {
                    withUnsafeCurrentTask { $0?.cancel() }
                    _ = try await fixture.swap([Swap(1, "v1", "new")])
                }
                try expect((try? await task.value) == nil, "the cancelled call returned")
                try expectEqual(try await fixture.value(1), .text("v1"), "the value")
            },
            ConformanceCase("a transaction that has begun ends although its task is cancelled", cancelledWithin),
            ConformanceCase("waiting for older transactions ends with them, or with its limit", olderTransactions),
            ConformanceCase("a closed engine says that it is closed") { fixture in
                let other = try await fixture.database.openEngine()
                await other.close()
                try await expectError(.storeUnavailable, "reading") { _ = try await other.read { try $0.tables() } }
                try await expectError(.storeUnavailable, "writing") { _ = try await other.write { try $0.tables() } }
                await other.close()
            },
            ConformanceCase("the room to grow is told, or not known") { fixture in
                try await fixture.makeTable(rows: 1)
                let room = try await fixture.engine.diskRoom(for: [ColumnTarget.plain.path.table])
                try expect([room.tables, room.log].allSatisfy { $0.map { $0 > 0 } ?? true }, "\(room)")
                try expect(room.logGrowth.map { $0 >= 0 } ?? true, "\(room)")
            },
            ConformanceCase("rewriting costs room, the more the larger the table is") { fixture in
                func cost(_ rows: Int64) -> RewriteCost {
                    fixture.engine.rewriteCost(
                        rows: rows, bytesBefore: rows * 100, bytesAfter: rows * 120, tableBytes: rows * 1000)
                }
                let (small, large) = (cost(1000), cost(10_000_000))
                try expect(small.tables > 0 && large.tables > 1_000_000_000, "\(small), \(large)")
                try expect(large.log.map { $0 > 1_000_000_000 } ?? true, "\(large)")
            },
        ]
    }

    @Sendable private static func rollsBack(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 2)
        do {
            try await fixture.engine.write { session in
                try session.createControlSchema()
                try session.execute("CREATE TABLE \(control: "case") (id \(session.columnType(.integer)))")
                _ = try session.swap([Swap(1, "v1", "new")], in: .plain)
                throw Interruption()
            }
            throw ConformanceFailure(description: "the body's error got lost")
        } catch is Interruption {}
        try expectEqual(try await fixture.value(1), .text("v1"), "the value")
        let tables = try await fixture.engine.read { try $0.controlTables() }
        try expectEqual(tables, [], "control tables")
        try expectEqual(try await fixture.swap([Swap(2, "v2", "new")]), [true], "the next transaction")
    }

    @Sendable private static func waits(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 1)
        let other = try await fixture.database.openEngine()
        let (hasWritten, writing) = AsyncStream.makeStream(of: Void.self)
        let release = DispatchSemaphore(value: 0)
        async let first = fixture.engine.write { session in
            let result = try session.swap([Swap(1, "v1", "first")], in: .plain)
            writing.finish()
            release.wait()
            return result
        }
        for await _ in hasWritten {}
        async let second = other.write { session in try session.swap([Swap(1, "v1", "second")], in: .plain) }
        await Task.yield()
        release.signal()
        let results = try await (first, second)
        await other.close()
        try expectEqual(results.0, [true], "the first writer")
        try expectEqual(results.1, [false], "the second writer, who read the value before the first wrote")
        try expectEqual(try await fixture.value(1), .text("first"), "the value")
    }

    @Sendable private static func cancelledWithin(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 2)
        let (hasWritten, writing) = AsyncStream.makeStream(of: Void.self)
        let release = DispatchSemaphore(value: 0)
        let task = Task {
            try await fixture.engine.write { session in
                _ = try session.swap([Swap(1, "v1", "new")], in: .plain)
                writing.finish()
                release.wait()
                return try session.swap([Swap(2, "v2", "new")], in: .plain)
            }
        }
        for await _ in hasWritten {}
        task.cancel()
        release.signal()
        try expectEqual(try await task.value, [true], "the swap after the cancellation")
        try expectEqual(try await fixture.value(1), .text("new"), "the first value")
        try expectEqual(try await fixture.value(2), .text("new"), "the second value")
    }

    @Sendable private static func olderTransactions(_ fixture: Fixture) async throws {
        try await fixture.makeTable(rows: 1)
        try await fixture.engine.waitForOlderTransactions(limit: .seconds(5))
        let other = try await fixture.database.openEngine()
        let (hasWritten, writing) = AsyncStream.makeStream(of: Void.self)
        let release = DispatchSemaphore(value: 0)
        async let older = other.write { session in
            let result = try session.swap([Swap(1, "v1", "new")], in: .plain)
            writing.finish()
            release.wait()
            return result
        }
        for await _ in hasWritten {}
        do {
            try await expectError(.storeBusy, "waiting for less time than it takes") {
                try await fixture.engine.waitForOlderTransactions(limit: .milliseconds(20))
            }
        } catch {
            release.signal()
            throw error
        }
        async let patient: Void = fixture.engine.waitForOlderTransactions(limit: .seconds(60))
        release.signal()
        try await patient
        try expectEqual(try await older, [true], "the older transaction")
        await other.close()
    }
}
