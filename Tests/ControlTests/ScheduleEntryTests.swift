import Control
import ControlStore
import Frames
import KeyModel
import Scheduling
import Scripting
import Testing

/// `schedules.…` and `keyrings.report`, each called through the table as consoles and commands do.
struct ScheduleEntryTests {
    private static let allDay = ScheduleDeclaration.Value.texts(["00:00-12:00", "12:00-24:00"])

    /// A window of a day that is neither today nor next to it, wherever that is.
    private static func closed() -> String {
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let today = Int(ControlBench.now().milliseconds / 86_400_000 + 4) % 7
        return "\(days[(today + 3) % 7]) 08:00-09:00"
    }

    private func declared(
        _ name: String, _ fields: [String: ScheduleDeclaration.Value], keyring: String? = "main"
    ) throws -> ScheduleDeclaration {
        ScheduleDeclaration(
            name: try Name(name), keyring: try keyring.map { try Name($0) },
            fields: ["tz": .text("Europe/Berlin")].merging(fields) { $1 }, file: "keyturn.lua", line: 2)
    }

    /// An adopted instance whose schedules are granted; `me` may do everything, `op` operates, anybody else looks.
    private func bench(
        _ schedules: ScheduleDeclaration..., consumers: [String] = [], maxAge: Duration? = nil
    ) async throws -> (ControlBench, InstanceService, any ControlChannel) {
        let bench = try await ControlBench()
        let consumers = try consumers.map { try Name($0) }
        bench.configure { configuration in
            configuration.schedules = schedules
            configuration.roles = [
                RoleDeclaration(role: "server_admin", users: ["me"], groups: []),
                RoleDeclaration(role: "operator", users: ["op"], groups: []),
                RoleDeclaration(role: "viewer", users: ["see"], groups: []),
            ]
        }
        let service = try bench.service(.daemon)
        try await service.start()
        let session = try await service.session()
        try await session.call("configuration.load")
        try await session.call("rotations.adopt", "secret.value")
        if !consumers.isEmpty || maxAge != nil {
            bench.configure { configuration in
                configuration.keyrings[0].consumers = consumers
                configuration.keyrings[0].policy.maxAge = maxAge
            }
            try await session.call("configuration.load")
        }
        return (bench, service, session)
    }

    /// Works the schedules while something is done.
    private func working<Value>(_ service: InstanceService, _ body: () async throws -> Value) async throws -> Value {
        let scheduler = try await service.makeScheduler()
        let work = Task { try? await scheduler.run() }
        do {
            let value = try await body()
            work.cancel()
            await work.value
            return value
        } catch {
            work.cancel()
            await work.value
            throw error
        }
    }

    private func quarterly() throws -> ScheduleDeclaration {
        try declared(
            "quarterly",
            ["cron": .text("0 3 1 */3 *"), "window": .texts(["Sat 01:00-05:00"]), "max_key_age": .text("90d")])
    }

    @Test func whoLooksSeesWhatASchedulesComesTo() async throws {
        let (_, service, session) = try await bench(try quarterly())
        let listed = try await session.call("schedules.list")
        #expect(listed.isGood && listed.value.list.count == 1)
        #expect(listed.value.list[0]["name"] == "quarterly" && listed.value.list[0]["state"] == "waits")
        let explained = try await session.call("schedules.explain", "quarterly")
        let warnings = explained.value["warnings"]?.list.compactMap(\.text).joined(separator: "\n") ?? ""
        #expect(explained.isGood && warnings.contains("gaps between nominal times exceed max_key_age 90d"))
        #expect(warnings.contains("the age of the key starts runs of its own"))
        let previewed = try await session.call(
            "schedules.preview", "quarterly", 3, named: ["from": "2027-01-01T00:00:00+01:00"])
        let times = previewed.value["times"]?.list ?? []
        #expect(
            times.map { $0["nominal"]?.text } == [
                "2027-01-01T03:00:00+01:00", "2027-04-01T03:00:00+02:00", "2027-07-01T03:00:00+02:00",
            ])
        #expect(times.first?["opens"] == "2027-01-02T01:00:00+01:00")
        let played = try await session.call(
            "schedules.simulate", named: ["from": "2027-01-01T00:00:00Z", "to": "2028-01-01T00:00:00Z"])
        let starts = played.value["starts"]?.list ?? []
        let byNominal = Dictionary(starts.map { ($0["nominal"]?.text, $0) }, uniquingKeysWith: { first, _ in first })
        let common = times.compactMap { time in byNominal[time["nominal"]?.text].map { (time, $0) } }
        #expect(!common.isEmpty, "\(times) \(starts)")
        #expect(common.allSatisfy { $0["starts"]?.text == $1["at"]?.text }, "\(times) \(starts)")
        #expect(times.contains { $0["reason"] == "key_age" }, "\(times)")
        #expect(starts.count >= 4 && starts.allSatisfy { $0["at"]?.text?.contains("T01:00:00") == true }, "\(starts)")
        let refused = try await session.call(
            "schedules.preview",
            named: [
                "cron": "0 3 1 */3 *", "tz": "UTC", "window": .array(["Sat 01:00-05:00"]), "max_key_age": "5d",
            ])
        #expect(!refused.isGood)
        #expect(refused.value["refused"]?.text?.contains("no window ever falls within max_key_age 5d") == true)
        await service.stop()
    }

    @Test func aRequestIsSeenUntilItIsDealtWithAndWhoLostTheLeaseChangesNothing() async throws {
        let (_, service, session) = try await bench(try declared("weekly", ["cron": .text("@weekly")]))
        try await working(service) {
            let isAsked = try await eventually {
                await controlError { try await session.call("schedules.trigger", "weekly") } == nil
            }
            let isDone = try await eventually {
                let shown = try await session.call("schedules.show", "weekly").value
                return shown["occurrences"]?.list.first?["state"] == "succeeded"
            }
            #expect(isAsked && isDone)
        }
        let asked = try await session.call("schedules.trigger", "weekly")
        #expect(asked.value["worked"] == .bool(false), "\(asked)")
        let requests = try await session.call("schedules.show", "weekly").value["requests"]?.list ?? []
        #expect(requests.count == 2 && requests.first?["outcome"]?.text == nil, "\(requests)")
        #expect(requests.last?["outcome"]?.text?.hasPrefix("claimed ") == true, "\(requests)")
        let before = try await session.call("runs.list").value.list.count
        let stale = try await service.grantedHost(
            .schedule, name: "schedule weekly", client: ScriptedClient(), scope: CallScope(),
            fence: { try $0.checkSchedulerLease(epoch: 0) })
        await #expect(throws: (any Error).self) {
            _ = try await stale.call("rotations.rotate", [["keyring": "main", "wait": "none"]])
        }
        #expect(try await session.call("runs.list").value.list.count == before)
        await service.stop()
    }

    @Test(arguments: [
        ("schedules.show", ["nobody"], "callerNotFound"), ("schedules.show", ["quarterli"], "callerNotFound"),
        ("schedules.explain", [], "callerUsage"), ("schedules.preview", ["quarterly", "0"], "callerUsage"),
        ("schedules.preview", ["nobody"], "callerNotFound"), ("schedules.pause", ["quarterly"], "callerUsage"),
        ("schedules.pause", ["nobody", "why"], "callerNotFound"),
        ("schedules.resume", ["nobody", "why"], "callerNotFound"), ("schedules.trigger", ["nobody"], "callerNotFound"),
        ("schedules.trigger", ["no such name"], "callerNameMalformed"), ("schedules.simulate", [], "callerUsage"),
        ("schedules.simulate", ["2028-01-01T00:00:00Z", "2027-01-01T00:00:00Z"], "callerUsage"),
        ("schedules.simulate", ["1970-01-01T00:00:00Z", "2170-01-01T00:00:00Z"], "callerUsage"),
        ("schedules.backfill", ["quarterly", "yesterday", "today"], "callerTimeMalformed"),
    ])
    func whatCannotBeDoneSaysWhy(name: String, words: [String], code: String) async throws {
        let (_, service, session) = try await bench(try quarterly())
        let error = await controlError {
            _ = try await session.perform(
                .call(Call(name, words.map { .string($0) }, named: [:], confirmation: .given)), for: ScriptedClient())
        }
        #expect(error?.codeName == code, "\(name) \(words): \(String(describing: error))")
        if code == "callerUsage" { #expect(error?.status == 64, "\(String(describing: error))") }
        await service.stop()
    }

    @Test(arguments: ["see", "op"])
    func rolesAreKept(user: String) async throws {
        let (_, service, session) = try await bench(try quarterly())
        try await working(service) {
            #expect(try await eventually { try await session.call("schedules.show", "quarterly").isGood })
            let caller = try await service.session(.other(user))
            for name in ["schedules.list", "schedules.simulate", "keyrings.report"] {
                let stretch: [String: FrameValue] =
                    name == "schedules.simulate"
                    ? ["from": "2027-01-01T00:00:00Z", "to": "2027-02-01T00:00:00Z"] : [:]
                #expect(await controlError { try await caller.call(name, named: stretch) } == nil, "\(name)")
            }
            let mayOperate = user == "op"
            for (name, words) in [
                ("schedules.pause", ["quarterly", "audit"]), ("schedules.resume", ["quarterly", "over"]),
            ] as [(String, [FrameValue])] {
                // The schedule is recorded when the scheduler has loaded it.
                #expect(
                    try await eventually {
                        let error = await controlError {
                            _ = try await caller.perform(
                                .call(Call(name, words, named: [:], confirmation: .given)), for: ScriptedClient())
                        }
                        return mayOperate ? error == nil : error?.codeName == "callerNotAllowed"
                    }, "\(name)")
            }
            let clock = await controlError { try await caller.call("schedules.accept_clock", "why") }
            #expect(clock?.codeName == "callerNotAllowed" && clock?.status == 2)
        }
        await service.stop()
    }

    @Test func aTriggeredScheduleRunsOutsideOfItsWindowOnlyWhereItIsToldTo() async throws {
        let (bench, service, session) = try await bench(
            try declared("yearly", ["cron": .text("@yearly"), "window": .texts([Self.closed()])]))
        try await working(service) {
            let refused = await controlError {
                try await session.call("schedules.trigger", "yearly", confirmation: .ask)
            }
            #expect(refused?.codeName == "callerNotConfirmed" && refused?.status == 3)
            #expect(
                try await eventually {
                    await controlError {
                        try await session.call("schedules.trigger", "yearly", named: ["ignore_window": true])
                    } == nil
                })
            #expect(
                try await eventually {
                    let latest = try await session.call("schedules.show", "yearly").value["occurrences"]?.list ?? []
                    return latest.first?["state"] == "succeeded" && latest.first?["ignoresWindow"] == true
                })
            let steps = try await bench.control.read { try $0.occurrenceSteps().map(\.what) }
            #expect(steps.first == "claimed manual, outside of windows")
            #expect(try await bench.control.read { try $0.runs() }.map(\.state) == [.done, .done])
        }
        await service.stop()
    }

    /// Windows close and open, the process is another one; only a person lets the run go on.
    @Test func aRunThatAPersonPausedWaitsForAPerson() async throws {
        let (bench, first, session) = try await bench(
            try declared("slow", ["cron": .text("@yearly"), "window": Self.allDay]), consumers: ["app"])
        let state = { @Sendable (run: Int64) in try await bench.control.read { try $0.run(run).state } }
        try await working(first) {
            #expect(
                try await eventually {
                    await controlError { try await session.call("schedules.trigger", "slow") } == nil
                })
            #expect(
                try await eventually {
                    try await bench.control.read { try $0.runs() }.contains { $0.id == 2 && $0.state == .waiting }
                })
            #expect(
                try await eventually {
                    try await session.call("schedules.list").value.list.first?["state"] == "waits_for_person"
                })
            try await session.call("runs.pause", 2)
            #expect(try await eventually { try await state(2) == .paused })
        }
        await first.stop()
        let second = try bench.service(.daemon)
        try await second.start()
        let other = try await second.session()
        try await working(second) {
            // It is taken over: and left as it is.
            #expect(
                try await eventually {
                    try await bench.control.read { try $0.occurrenceSteps().map(\.what) }.contains(
                        "taken over, attempt 1")
                })
            try await Task.sleep(for: .seconds(2))
            #expect(try await state(2) == .paused)
            let shown = try await other.call("schedules.show", "slow").value["summary"]
            #expect(shown?["state"] == "waits_for_person")
            #expect(
                shown?["waitsFor"]?.text?.hasPrefix("run 2 was paused by me") == true, "\(String(describing: shown))")
            try await other.call("runs.resume", 2, named: ["wait": "none"])
            // The consumer is waited for twice, once before its new key seals and once after.
            #expect(
                try await eventually {
                    if try await state(2) == .waiting {
                        _ = await controlError { try await other.call("runs.acknowledge", 2, "app") }
                    }
                    let latest = try await other.call("schedules.show", "slow").value["occurrences"]?.list ?? []
                    return latest.first?["state"] == "succeeded"
                })
            #expect(try await state(2) == .done)
        }
        await second.stop()
    }

    @Test func anEmergencyWaitsForNoWindowAndTakesTheWayOfASchedulesRun() async throws {
        let (bench, service, session) = try await bench(
            try declared("slow", ["cron": .text("@yearly"), "window": .texts([Self.closed()])]), consumers: ["app"])
        try await working(service) {
            let forced: [String: FrameValue] = ["ignore_window": true]
            #expect(
                try await eventually {
                    await controlError { try await session.call("schedules.trigger", "slow", named: forced) } == nil
                })
            #expect(
                try await eventually {
                    try await bench.control.read { try $0.runs() }.contains { $0.id == 2 && $0.state == .waiting }
                })
            try await session.call(
                "rotations.rotate", named: ["keyring": "main", "emergency": true, "wait": "none"])
            #expect(
                try await eventually {
                    let latest = try await session.call("schedules.show", "slow").value["occurrences"]?.list ?? []
                    return latest.first?["state"] == "cancelled"
                })
            let runs = try await bench.control.read { try $0.runs() }
            let emergency = runs.first { $0.id == 3 }
            #expect(runs.first { $0.id == 2 }?.state == .cancelled && emergency?.urgency == .emergency)
            #expect(emergency?.state != .failed)
        }
        await service.stop()
    }

    @Test func theReportHoldsKeysAgainstWhatIsAllowed() async throws {
        let (_, service, session) = try await bench(try quarterly())
        let good = try await session.call("keyrings.report")
        let row = try #require(good.value.list.first)
        #expect(good.isGood && row["keyring"] == "main" && row["maxAge"] == "90d" && row["drill"] == "never")
        #expect(row["standing"] == "within" || row["standing"] == "due", "\(row)")
        #expect(row["lastRotation"] == nil || row["lastRotation"] == .null)
        try await session.call("rotations.rotate", "main")
        let rotated = try #require(try await session.call("keyrings.report").value.list.first)
        #expect(rotated["lastRotation"] == 2 && rotated["proof"] == "signed")
        await service.stop()
    }

    @Test func aKeyThatIsTooOldIsNotGood() async throws {
        let (_, service, session) = try await bench(
            try declared("late", ["cron": .text("@yearly"), "max_key_age": .text("1s")]))
        try await Task.sleep(for: .seconds(2))
        for name in ["keyrings.report", "schedules.list", "status"] {
            #expect(try await !session.call(name).isGood, "\(name)")
        }
        #expect(try await session.call("keyrings.report").value.list.first?["standing"] == "overdue")
        await service.stop()
    }
}
