import ControlStore
import KeyModel
import Scheduling
import Synchronization
import Testing

/// Functions that a test writes in Swift.
struct TestFunctions: ScheduleFunctions {
    let body: @Sendable (ScheduleFunction, FunctionFacts) throws -> FunctionValue

    func evaluate(
        _ schedule: Name, _ function: ScheduleFunction, _ facts: FunctionFacts
    ) async throws -> FunctionValue { try body(function, facts) }
}

struct FunctionTests {
    private struct Broken: Error {}

    private func facts() throws -> FunctionFacts {
        FunctionFacts(
            now: try Timestamp(withOffset: "2027-01-01T00:00:00Z"), zone: "UTC",
            after: try Timestamp(withOffset: "2026-12-31T00:00:00Z"))
    }

    @Test(
        arguments: [
            .truth(true), .integer(0), .integer(-1), .integer(.max), .integer(.min), .integer(1_798_675_200),
            .integer(1_798_675_199), .number(.nan), .number(.infinity), .number(-.infinity), .number(9.3e18),
            .number(0x1p63), .number(1.8e12), .other("string"), .other("table"), .other("function"),
        ] as [FunctionValue])
    func whatNextMustNotReturnIsRefused(value: FunctionValue) throws {
        let facts = try facts()
        let error = #expect(throws: SchedulingError.self) { try FunctionAnswer(value, of: .next, facts) }
        #expect(error?.code == .callerFunctionInvalid && error?.hint != nil)
    }

    @Test(arguments: [.integer(1), .number(0), .other("string"), .other("table")] as [FunctionValue])
    func whatWhenMustNotReturnIsRefused(value: FunctionValue) throws {
        let facts = try facts()
        #expect(throws: SchedulingError.self) { try FunctionAnswer(value, of: .when, facts) }
    }

    @Test func whatIsFitIsTaken() throws {
        let facts = try facts()
        #expect(try FunctionAnswer(.nothing, of: .when, facts) == .isDue(false))
        #expect(try FunctionAnswer(.nothing, of: .next, facts) == .at(nil))
        let time = try Timestamp(withOffset: "2027-06-01T00:00:00Z")
        #expect(try FunctionAnswer(.integer(time.milliseconds / 1000), of: .next, facts) == .at(time))
        #expect(try FunctionAnswer(.number(Double(time.milliseconds) / 1000 + 0.5), of: .next, facts) == .at(time))
    }

    @Test func aFunctionThatSaysDifferentThingsIsTold() async throws {
        let calls = Mutex(0)
        let functions = TestFunctions { _, facts in
            let call = calls.withLock { calls in
                calls += 1
                return calls
            }
            return .integer(facts.now.milliseconds / 1000 + Int64(call) * 3600)
        }
        let schedule = Schedule(
            name: try Name("odd"), rules: ScheduleRules(.given(nil, in: .utc)), function: .next)
        let warnings = try await FunctionTrial(functions).warnings(for: schedule, facts())
        #expect(warnings.count == 1 && warnings[0].contains("for the same facts"), "\(warnings)")
        let always = Schedule(
            name: try Name("always"), rules: ScheduleRules(.given(nil, in: .utc)), function: .when(poll: .seconds(60)))
        let again = try await FunctionTrial(TestFunctions { _, _ in .truth(true) }).warnings(for: always, facts())
        #expect(again.count == 1 && again[0].contains("right after a run"), "\(again)")
    }

    private func asking(
        _ timing: ScheduleTerms.Timing, _ change: (inout ScheduleTerms) -> Void = { _ in }
    ) throws -> ScheduleTerms {
        var declaration = ScheduleTerms(name: try Name("asks"), timing: timing, zone: "UTC")
        declaration.keyring = try Name("main")
        change(&declaration)
        return declaration
    }

    @Test func aFunctionThatSaysWhenIsAskedByTheMinuteAndItsWordIsRecordedWhenItChanges() async throws {
        let bench = try await Bench(at: "2027-01-01T00:00:00Z")
        let due = try Timestamp(withOffset: "2027-01-01T02:00:30Z")
        let scheduler = bench.scheduler(
            try asking(.when(poll: .seconds(60))),
            functions: TestFunctions { _, facts in
                .truth(facts.now >= due && facts.lastSuccess.map { facts.now.since($0) > .seconds(3600) } ?? true)
            })
        try await bench.run(scheduler, until: "2027-01-01T02:30:00Z")
        #expect(bench.actions.nominals == ["2027-01-01T02:01:00.000Z"])
        #expect(try await bench.record("asks").functionValue == "false")
        try await bench.run(scheduler, until: "2027-01-01T03:30:00Z")
        #expect(bench.actions.nominals.count == 2)
    }

    @Test func aFunctionThatSaysWhenNextIsFollowed() async throws {
        let bench = try await Bench(at: "2027-01-01T00:00:00Z")
        let scheduler = bench.scheduler(
            try asking(.next),
            functions: TestFunctions { _, facts in .integer(facts.after.milliseconds / 1000 + 7 * 3600) })
        try await bench.run(scheduler, until: "2027-01-01T22:00:00Z")
        #expect(
            bench.actions.nominals == [
                "2027-01-01T07:00:00.000Z", "2027-01-01T14:00:00.000Z", "2027-01-01T21:00:00.000Z",
            ])
    }

    @Test func aFunctionThatFailsStartsNothingIsToldAndLeavesTheAgeOfTheKeyInForce() async throws {
        let clock = ManualClock(try Timestamp(withOffset: "2027-01-01T00:00:00Z"))
        let actions = ScriptedActions(makingKeysAt: clock)
        let made = clock.now()
        actions.state.withLock {
            $0.facts = [(try? Name("main")) ?? nil].compactMap(\.self).reduce(into: [:]) {
                $0[$1] = KeyFacts(madeAt: made)
            }
        }
        let bench = try await Bench(at: "2027-01-01T00:00:00Z", actions: actions)
        let scheduler = bench.scheduler(
            try asking(.when(poll: .seconds(3600))) { $0.maxKeyAge = .seconds(3 * 86_400) },
            functions: TestFunctions { _, _ in throw Broken() })
        try await bench.run(scheduler, until: "2027-01-01T06:00:00Z")
        #expect(bench.actions.requests.isEmpty)
        let record = try await bench.record("asks")
        #expect(record.functionFailures >= 3 && record.alert?.contains("its function fails") == true)
        try await bench.run(scheduler, until: "2027-01-05T00:00:00Z")
        #expect(bench.actions.requests.map(\.reason) == ["key_age"])
    }
}
