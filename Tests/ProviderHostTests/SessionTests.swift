internal import Foundation
internal import KeyModel
internal import PluginKit
internal import PluginWire
internal import Testing
internal import ToolTesting

@testable import ProviderHost

/// Wraps and unwraps over a session, with plugins that keep to it and with those that do not.
@Suite(.serialized)
struct SessionTests {
    /// Ways that only a session has, and what the call in hand ends with.
    static let ways: [HostilePluginTests.Case] = [
        .init("session-never-answers", .providerUnavailable), .init("session-unknown-id", .providerAnswerInvalid),
        .init("session-no-id", .providerAnswerInvalid), .init("session-other-kind", .providerAnswerInvalid),
        .init("session-empty", .providerAnswerInvalid), .init("session-other-field", .providerAnswerInvalid),
        .init("session-garbage", .providerAnswerInvalid), .init("session-truncated", .providerAnswerInvalid),
        .init("session-huge", .providerAnswerInvalid), .init("session-code-0", .providerAnswerInvalid),
        .init("session-code-99", .providerAnswerInvalid), .init("session-ends", .providerUnavailable),
        .init("session-fails", .providerUnavailable), .init("session-refused", .providerUnavailable),
        .init("session-crashes", .providerUnavailable),
    ]

    /// Ways of a session that others in hand feel, or the next call.
    static let waysBesideOthers = [
        "session-slow-for-nines", "session-nines-break-it", "session-nines-are-other", "session-answers-twice",
        "session-ends-at-first",
    ]

    /// Ways of answering that are wrong in the same way over a session; those below gRPC, or before it, are not.
    static let shared = HostilePluginTests.wraps.filter {
        !["accepts-and-sleeps", "accepts-and-closes", "speaks-http1", "random-frames", "goaway", "huge-frame"]
            .contains($0.way)
    }

    private var nines: SecretBytes { SecretBytes(copying: Bytes(repeating: 9, count: 32)) }

    @Test(arguments: ways)
    func anAnswerThatMakesNoSenseIsRefused(_ hostile: HostilePluginTests.Case) async throws {
        let host = try Host(hostile.way, deadline: hostile.way == "session-never-answers" ? 4 : 30)
        for _ in 0..<2 { try await host.refusesToWrap(hostile.code) }
        // Calls of their own go on; that a process died may be noticed a moment later than that its session ended.
        var key = try? await host.provider.describeKey(Sample.call)
        for _ in 0..<200 where key == nil {
            try await Task.sleep(for: .milliseconds(50))
            key = try? await host.provider.describeKey(Sample.call)
        }
        #expect(key?.id.hasPrefix("key-") == true)
        await host.supervisor.stop()
        #expect(await host.supervisor.pid == nil)
    }

    @Test(arguments: shared)
    func whatIsWrongInACallIsWrongOverASession(_ hostile: HostilePluginTests.Case) async throws {
        let host = try Host(
            hostile.way, deadline: hostile.code == .providerUnavailable ? 4 : 30, variables: ["HOSTILE_SESSION": "1"])
        try await host.refusesToWrap(hostile.code)
        await host.supervisor.stop()
    }

    @Test(arguments: HostilePluginTests.unwraps)
    func anUnwrapThatMakesNoSenseIsRefused(_ hostile: HostilePluginTests.Case) async throws {
        let host = try Host(hostile.way, variables: ["HOSTILE_SESSION": "1"])
        try await host.refusesToUnwrap(hostile.code)
        await host.supervisor.stop()
    }

    @Test
    func manyCallsAtOnceAreAnsweredEachWithItsOwn() async throws {
        let scratch = try HostScratch()
        let supervisor = PluginSupervisor(
            PluginLaunch(name: try Sample.name, file: try scratch.example(), sha256: nil))
        let settings = ["directory": try scratch.directory("keys")]
        let provider = PluginProvider(name: try Sample.name, settings: settings, supervisor: supervisor)
        let binding = try Sample.binding
        try await withThrowingTaskGroup(of: Void.self) { group in
            // More than are in hand at a time.
            for number in 0..<200 as Range<UInt8> {
                group.addTask {
                    let material = SecretBytes(copying: Bytes(repeating: number, count: 32))
                    let wrapped = try await provider.wrap(material, binding: binding, Sample.call)
                    let back = try await provider.unwrap(wrapped, binding: binding, Sample.call)
                    let isSame = back.isEqual(to: material)
                    #expect(isSame)
                }
            }
            try await group.waitForAll()
        }
        #expect(try await supervisor.connection().session?.isOpen == true)
        await supervisor.stop()
    }

    @Test
    func aSlowCallHoldsUpNoOther() async throws {
        let host = try Host("session-slow-for-nines")
        let binding = try Sample.binding
        try await host.supervisor.start()
        let slow = Task {
            let wrapped = try await host.provider.wrap(nines, binding: binding, Sample.call)
            let end = ContinuousClock.now
            let back = try await host.provider.unwrap(wrapped, binding: binding, Sample.call)
            return back.isEqual(to: nines) ? end : nil
        }
        #expect(await Sample.eventually { await host.heard.lines.contains { $0.contains("late answer") } })
        let wrapped = try await host.provider.wrap(Sample.material(), binding: binding, Sample.call)
        let back = try await host.provider.unwrap(wrapped, binding: binding, Sample.call)
        let isSame = back.isEqual(to: Sample.material())
        let end = ContinuousClock.now
        let slowEnd = try #require(try await slow.value)
        #expect(isSame && end < slowEnd)
        await host.supervisor.stop()
    }

    @Test
    func anAnswerAfterItsDeadlineIsDropped() async throws {
        let host = try Host("session-slow-for-nines")
        let binding = try Sample.binding
        try await host.supervisor.start()
        let session = try await openSession(of: host)
        let hurried = ProviderCall(deadline: .seconds(3), idempotencyKey: "hurried")
        let late = Task {
            try await Sample.failure { _ = try await host.provider.wrap(nines, binding: binding, hurried) }
        }
        // Others are answered meanwhile, so that the session is known to live.
        #expect(await Sample.eventually { await host.heard.lines.contains { $0.contains("late answer") } })
        let first = try await host.provider.wrap(Sample.material(), binding: binding, Sample.call)
        let error = try await late.value
        #expect(error.code == .providerUnavailable && error.message.contains("did not answer within 3"), "\(error)")
        // The late one comes while these are made.
        let start = ContinuousClock.now
        while start.duration(to: .now) < .seconds(4) {
            let material = SecretBytes(copying: (0..<32).map { _ in UInt8.random(in: 10...255) })
            let wrapped = try await host.provider.wrap(material, binding: binding, Sample.call)
            let back = try await host.provider.unwrap(wrapped, binding: binding, Sample.call)
            let isSame = back.isEqual(to: material)
            #expect(isSame)
        }
        let back = try await host.provider.unwrap(first, binding: binding, Sample.call)
        let isSame = back.isEqual(to: Sample.material())
        #expect(isSame && session.isOpen)
        #expect(try await openSession(of: host) === session)
        await host.supervisor.stop()
    }

    @Test
    func aSessionThatAnswersNothingIsReplaced() async throws {
        let host = try Host("session-never-answers")
        let binding = try Sample.binding
        try await host.supervisor.start()
        let session = try await openSession(of: host)
        let hurried = ProviderCall(deadline: .milliseconds(500), idempotencyKey: "hurried")
        _ = try await Sample.failure {
            _ = try await host.provider.wrap(Sample.material(), binding: binding, hurried)
        }
        #expect(!session.isOpen)
        #expect(try await openSession(of: host) !== session)
        await host.supervisor.stop()
    }

    @Test
    func aCallerThatIsCancelledGivesUpItsCallAlone() async throws {
        let host = try Host("session-slow-for-nines")
        let binding = try Sample.binding
        try await host.supervisor.start()
        let session = try await openSession(of: host)
        let cancelled = Task {
            try await Sample.failure { _ = try await host.provider.wrap(nines, binding: binding, Sample.call) }
        }
        #expect(await Sample.eventually { await host.heard.lines.contains { $0.contains("late answer") } })
        let other = Task { try await host.provider.wrap(nines, binding: binding, Sample.call) }
        cancelled.cancel()
        let error = try await cancelled.value
        #expect(error.code == .providerUnavailable && error.message.contains("cancelled"), "\(error.message)")
        let back = try await host.provider.unwrap(try await other.value, binding: binding, Sample.call)
        let isSame = back.isEqual(to: nines)
        #expect(isSame)
        #expect(try await openSession(of: host) === session)
        await host.supervisor.stop()
    }

    /// One call brings the answer that makes no sense while another one is in hand, whose outcome is unknown by that.
    @Test(arguments: [
        ("session-nines-break-it", ProviderError.Code.providerUnavailable),
        ("session-nines-are-other", .providerAnswerInvalid),
    ])
    func whatEndsASessionEndsTheCallsInHand(way: String, code: ProviderError.Code) async throws {
        let host = try Host(way)
        let binding = try Sample.binding
        try await host.supervisor.start()
        let inHand = Task {
            try await Sample.failure {
                _ = try await host.provider.wrap(Sample.material(), binding: binding, Sample.call)
            }
        }
        let error = try await Sample.failure {
            _ = try await host.provider.wrap(nines, binding: binding, Sample.call)
        }
        #expect(error.code == code, "\(error.message)")
        #expect(try await inHand.value.code == .providerUnavailable)
        // The next call has a session of its own.
        let wrapped = try await host.provider.wrap(Sample.material(), binding: binding, Sample.call)
        let back = try await host.provider.unwrap(wrapped, binding: binding, Sample.call)
        let isSame = back.isEqual(to: Sample.material())
        #expect(isSame)
        await host.supervisor.stop()
    }

    @Test(arguments: ["session-answers-twice", "session-ends-at-first"])
    func theNextCallIsRight(way: String) async throws {
        let host = try Host(way)
        let binding = try Sample.binding
        var wrapped: WrappedKey?
        for _ in 0..<10 {
            // A second answer ends the session, and by that perhaps the call that was made meanwhile.
            do throws(ProviderError) {
                wrapped = try await host.provider.wrap(Sample.material(), binding: binding, Sample.call)
                break
            } catch {
                #expect([.providerUnavailable, .providerAnswerInvalid].contains(error.code), "\(error.message)")
            }
        }
        #expect(wrapped?.providerKeyID == "key-1")
        await host.supervisor.stop()
    }

    @Test
    func aFailureIsWhatItIsInACall() async throws {
        var errors: [ProviderError] = []
        for variables in [[:], ["HOSTILE_SESSION": "1"]] {
            let host = try Host("status-denied", variables: variables)
            let binding = try Sample.binding
            errors.append(
                try await Sample.failure {
                    _ = try await host.provider.wrap(Sample.material(), binding: binding, Sample.call)
                })
            await host.supervisor.stop()
        }
        #expect(errors[0].code == errors[1].code && errors[0].message == errors[1].message)
        #expect(errors[0].hint == nil && errors[1].hint == "look\\u{1b}[2J there")
    }

    @Test
    func callsInHandAreAnsweredWhileAnotherProcessTakesOver() async throws {
        let host = try Host("session-slow-for-nines")
        let binding = try Sample.binding
        try await host.supervisor.start()
        let old = await host.supervisor.pid
        let call = Task { try await host.provider.wrap(nines, binding: binding, Sample.call) }
        #expect(await Sample.eventually { await host.heard.lines.contains { $0.contains("late answer") } })
        try await host.supervisor.reload(settings: [:], patience: .seconds(60))
        #expect(try await call.value.providerKeyID == "key-1")
        #expect(await host.supervisor.pid != old)
        await host.supervisor.stop()
    }

    private func openSession(of host: Host) async throws -> ProviderSession {
        let connection = try await host.supervisor.connection()
        defer { connection.finish() }
        return try #require(connection.session)
    }
}
