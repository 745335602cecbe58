import Control
import ControlStore
import KeyModel
import Storage
import Testing

/// What providers were called, from memory into the database.
struct CallLedgerTests {
    private let october: Timestamp
    private let november: Timestamp
    private let customer: Name

    init() throws {
        october = try Timestamp("2026-10-31T23:59:59Z")
        november = try Timestamp("2026-11-01T00:00:00Z")
        customer = try Name("customer")
    }

    private func stored(_ bench: ControlBench, since day: String? = nil) async throws -> ProviderCalls {
        try await bench.control.read { [customer] in try $0.calls(of: customer, since: day) }
    }

    @Test func whoWorksOnOneDatabaseAddsUp() async throws {
        let bench = try await ControlBench()
        let (one, other) = (CallLedger(), CallLedger())
        await one.add([customer: ProviderCalls(wraps: 2, unwraps: 1)])
        await other.add([customer: ProviderCalls(unwraps: 4), try Name("another"): ProviderCalls(tests: 1)])
        try await one.write(to: bench.control, at: october)
        try await other.write(to: bench.control, at: october)
        await one.add([customer: ProviderCalls(looks: 3)])
        try await one.write(to: bench.control, at: november)
        // Nothing new, and nothing is written.
        try await one.write(to: bench.control, at: november)
        #expect(try await stored(bench) == ProviderCalls(wraps: 2, unwraps: 5, looks: 3))
        #expect(try await stored(bench, since: "2026-11") == ProviderCalls(looks: 3))
        #expect(await one.held(of: customer).isNone)
        let rows = try await bench.control.read {
            try $0.storage.query("SELECT day, provider FROM \(control: "provider_calls")").count
        }
        #expect(rows == 3, "one a provider and day")
    }

    @Test func whatCannotBeWrittenIsKept() async throws {
        let bench = try await ControlBench()
        let ledger = CallLedger()
        await ledger.add([customer: ProviderCalls(wraps: 1)])
        try await bench.tamper("ALTER TABLE keyturn_provider_calls RENAME TO aside")
        await #expect(throws: StorageError.self) { try await ledger.write(to: bench.control, at: october) }
        await ledger.add([customer: ProviderCalls(unwraps: 2)])
        #expect(await ledger.held(of: customer) == ProviderCalls(wraps: 1, unwraps: 2))
        try await bench.tamper("ALTER TABLE aside RENAME TO keyturn_provider_calls")
        try await ledger.write(to: bench.control, at: october)
        #expect(try await stored(bench) == ProviderCalls(wraps: 1, unwraps: 2))
    }

    @Test func aQuietDaemonWritesSeldom() async throws {
        let bench = try await ControlBench()
        let ledger = CallLedger()
        #expect(await !ledger.isDue(atEnd: true), "nothing was called")
        for _ in 1...9 { await ledger.add([customer: ProviderCalls(looks: 1)]) }
        #expect(await !ledger.isDue(atEnd: false))
        #expect(await ledger.isDue(atEnd: true))
        await ledger.add([customer: ProviderCalls(looks: 1)])
        #expect(await ledger.isDue(atEnd: false))
        try await ledger.write(to: bench.control, at: october)
        await ledger.add([customer: ProviderCalls(unwraps: 100)])
        #expect(await !ledger.isDue(atEnd: false), "no more than once a minute")
        #expect(await ledger.isDue(atEnd: true))
    }
}
