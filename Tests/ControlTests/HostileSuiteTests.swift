import Control
import Foundation
import Frames
import Scripting
import Synchronization
import Testing

struct HostileSuiteTests {
    /// A session whose pings are answered as a test wants.
    private struct Bystander: ControlChannel {
        let session = LocalScriptChannel()
        let ping: @Sendable () async throws -> Void

        func perform(_ request: ControlRequest, for client: any ControlClient) async throws -> Answer {
            if case .ping = request { try await ping() }
            return try await session.perform(request, for: client)
        }
        func cancel() async { await session.cancel() }
        func killScript() async { await session.killScript() }
        func close() async { await session.close() }
    }

    private func report(_ ping: @escaping @Sendable () async throws -> Void) async throws -> HostileSuite.Report {
        let one = try #require(HostileCase.all.first)
        return try await HostileSuite(
            open: { Bystander(ping: ping) }, function: nil, allowance: .seconds(30), pingLimit: .seconds(5),
            cases: [one]
        ).run()
    }

    @Test func whoeverIsAnsweredInTimeNoticesNothing() async throws {
        let report = try await report {}
        #expect(report.isGood && report.problems.isEmpty && report.pings > 0, "\(report)")
    }

    @Test func whoeverWaitsForLongMakesItFail() async throws {
        let report = try await report { try await Task.sleep(for: .seconds(6)) }
        #expect(!report.isGood && report.count(.failed) == 0, "\(report)")
        #expect(report.problems.contains { $0.contains("another session") }, "\(report.problems)")
    }

    @Test func whoeverIsAnsweredNoMoreMakesItFail() async throws {
        let count = Mutex(0)
        let report = try await report {
            let number = count.withLock { count in
                count += 1
                return count
            }
            if number > 3 { throw ControlError(.storeDaemonUnreachable, "the daemon is gone") }
        }
        #expect(report.problems == ["another session was answered no more: the daemon is gone"], "\(report.problems)")
        #expect(!report.isGood)
    }
}
