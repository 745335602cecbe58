internal import ControlStore
internal import Foundation
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Storage
internal import Synchronization
internal import Testing

/// Hooks that do what a test says, and note what they were told.
private final class TestHooks: RunHooks {
    typealias Action = @Sendable (HookOccasion) async throws -> Void

    let hooks: [HookDeclaration]
    private let actions: [HookDeclaration: Action]
    private let told = Mutex<[HookOccasion]>([])

    init(_ actions: [(HookDeclaration.Stage, Action)]) {
        var hooks: [HookDeclaration] = []
        var byHook: [HookDeclaration: Action] = [:]
        for (stage, action) in actions {
            let index = hooks.count { $0.stage == stage } + 1
            let hook = HookDeclaration(stage: stage, index: index, file: "keyturn.lua", line: Int64(hooks.count + 1))
            hooks.append(hook)
            byHook[hook] = action
        }
        self.hooks = hooks
        self.actions = byHook
    }

    var occasions: [HookOccasion] { told.withLock { $0 } }

    func perform(_ hook: HookDeclaration, on occasion: HookOccasion) async throws {
        told.withLock { $0.append(occasion) }
        try await actions[hook]?(occasion)
    }
}

private let fails: TestHooks.Action = { _ in
    throw RotationError(.callerPolicyForbids, "the backup did not work")
}

struct HookTests {
    private func attempts(_ bench: Bench, _ run: Int64) async throws -> [HookAttempt] {
        try await bench.control.read { try $0.hookAttempts(of: run) }
    }

    @Test func hooksRunInTheirStages() async throws {
        let bench = try await Bench.adopted(rows: 3)
        let before = try await bench.active()
        let stages: [HookDeclaration.Stage] = [.always, .after, .published, .before, .onFailure]
        let hooks = TestHooks(stages.map { stage in (stage, { $0.output("\(stage.rawValue) speaks\n") }) })
        bench.hooks.withLock { $0 = hooks }
        let run = try await bench.run(.rotate)
        #expect(run.state == .done)
        #expect(hooks.occasions.map(\.run.phase) == [.before, .publish, .after, .done])
        #expect(hooks.occasions.map(\.outcome) == [.open, .open, .done, .done])
        #expect(hooks.occasions[0].run.newKey == nil, "no key is made before")
        let published = try #require(hooks.occasions[1].run.newKey)
        #expect(published != before, "it is stored, and active later")
        let recorded = try await attempts(bench, run.id)
        #expect(Set(recorded.map(\.id)).count == 4)
        #expect(recorded.allSatisfy { $0.state == .done && $0.finishedAt != nil })
        #expect(
            Set(recorded.map(\.output)) == [
                "before speaks\n", "published speaks\n", "after speaks\n", "always speaks\n",
            ])
        #expect(try await bench.engine().runHistory(run.id).hooks == recorded)
    }

    @Test func aHookThatFailsBeforeStopsTheRunBeforeAnyKeyIsMade() async throws {
        let bench = try await Bench.adopted(rows: 3)
        let keys = try await bench.ring().versions.count
        let hooks = TestHooks([(.before, fails), (.onFailure, { _ in }), (.always, fails)])
        bench.hooks.withLock { $0 = hooks }
        let run = try await bench.start(.rotate)
        #expect(await codeThrown { try await bench.drive(run.id) } == "callerHookFailed")
        let left = try await bench.engine().runHistory(run.id)
        #expect(left.run.state == .failed && left.run.newKey == nil)
        #expect(left.run.message?.contains("(keyturn.lua:1) failed: the backup did not work") == true)
        #expect(
            left.hooks.map(\.state) == [.failed, .done, .failed] || Set(left.hooks.map(\.state)) == [.failed, .done])
        #expect(try await bench.ring().versions.count == keys)
        #expect(hooks.occasions.map(\.outcome) == [.open, .failed, .failed])
    }

    @Test func aFailureAfterwardsLeavesTheRunDoneAndIsLoud() async throws {
        let bench = try await Bench.adopted(rows: 3)
        bench.hooks.withLock { $0 = TestHooks([(.after, fails), (.after, { _ in }), (.always, fails)]) }
        let run = try await bench.run(.rotate)
        #expect(run.state == .doneWithExceptions)
        #expect(run.message?.contains("\"after\" (keyturn.lua:1) failed: the backup did not work") == true)
        #expect(run.message?.contains("\"always\" (keyturn.lua:3) failed") == true)
        #expect(try await bench.census().isClean)
        #expect(try await attempts(bench, run.id).filter { $0.state == .done }.count == 1)
    }

    @Test func aPublishedHookThatFailsLeavesTheOldKeySealing() async throws {
        let bench = try await Bench.adopted(rows: 3)
        let active = try await bench.active()
        let isBroken = Mutex(true)
        let hooks = TestHooks([(.published, { if isBroken.withLock({ $0 }) { try await fails($0) } })])
        bench.hooks.withLock { $0 = hooks }
        let run = try await bench.start(.rotate)
        #expect(await codeThrown { try await bench.drive(run.id) } == "callerHookFailed")
        #expect(try await bench.active() == active)
        #expect(try await bench.engine().runHistory(run.id).run.state == .needsOperator)
        isBroken.withLock { $0 = false }
        #expect(try await bench.drive(run.id).state == .done)
        let recorded = try await attempts(bench, run.id)
        #expect(recorded.map(\.state) == [.failed, .done] && recorded[0].id != recorded[1].id)
    }

    @Test func aHookThatACrashCutOffIsTriedUnderANewNumber() async throws {
        let bench = try await Bench.adopted(rows: 3)
        let isFirst = Mutex(true)
        let hooks = TestHooks([
            (.before, { _ in }),
            (
                .before,
                { _ in
                    // As after SIGKILL: nothing more is written.
                    let dies = isFirst.withLock { first in
                        defer { first = false }
                        return first
                    }
                    if dies { throw ControlStoreError(.storeLeaseLost, "gone") }
                }
            ),
        ])
        bench.hooks.withLock { $0 = hooks }
        let run = try await bench.start(.rotate)
        #expect(await codeThrown { try await bench.drive(run.id) } == "storeLeaseLost")
        #expect(try await attempts(bench, run.id).map(\.state).contains(.begun))
        #expect(try await bench.drive(run.id).state == .done)
        let recorded = try await attempts(bench, run.id)
        #expect(recorded.count == 3 && Set(recorded.map(\.id)).count == 3)
        #expect(recorded.filter { $0.hook.index == 1 }.map(\.state) == [.done], "what ended well is not done again")
        #expect(Set(recorded.filter { $0.hook.index == 2 }.map(\.state)) == [.unknown, .done])
    }

    @Test(arguments: [RunRequest.cancel, .pause])
    func aRunIsStoppedWhileAHookRuns(request: RunRequest) async throws {
        let bench = try await Bench.adopted(rows: 3)
        let hooks = TestHooks([(.before, { _ in try await Task.sleep(for: .seconds(600)) })])
        bench.hooks.withLock { $0 = hooks }
        let run = try await bench.start(.rotate)
        async let driven = bench.drive(run.id)
        while hooks.occasions.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
        try await bench.engine().ask(request, of: run.id)
        let left = try await driven
        #expect(left.state == (request == .cancel ? .cancelled : .paused))
        #expect(try await attempts(bench, run.id).map(\.message) == ["ended on request"])
    }

    @Test func theOutputIsKeptToItsLimit() async throws {
        let bench = try await Bench.adopted(rows: 1)
        bench.hooks.withLock {
            $0 = TestHooks([(.before, { for _ in 0..<100 { $0.output(String(repeating: "ä\0", count: 1000)) } })])
        }
        let run = try await bench.run(.rotate)
        let output = try #require(try await attempts(bench, run.id).first?.output)
        #expect(output.utf8.count < 140_000 && output.hasSuffix("(truncated)\n") && !output.utf8.contains(0))
    }

    @Test func aCancelledRunEndsWithItsLastHooks() async throws {
        let bench = try await Bench.adopted(rows: 3)
        let hooks = TestHooks([(.always, { _ in })])
        bench.hooks.withLock { $0 = hooks }
        let run = try await bench.start(.rotate)
        try await bench.engine().ask(.cancel, of: run.id)
        #expect(try await bench.drive(run.id).state == .cancelled)
        #expect(hooks.occasions.map(\.outcome) == [.cancelled])
    }
}
