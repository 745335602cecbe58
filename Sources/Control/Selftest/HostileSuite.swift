internal import Foundation
internal import Frames
internal import Glibc
internal import KeyModel
package import Scripting
internal import Synchronization

/// Runs the hostile scripts through sessions while another session pings, and says what became of each.
package struct HostileSuite: Sendable {
    /// What became of one case.
    package struct Result: Sendable {
        /// How a case ended.
        package enum Verdict: String, Sendable {
            case passed, failed, skipped
        }

        /// Its number.
        package let id: String
        /// What it tried.
        package let title: String
        /// How it ended.
        package let verdict: Verdict
        /// What happened, in words.
        package let detail: String
        /// How long its last text took.
        package let time: Duration
    }

    /// What all cases came to.
    package struct Report: Sendable {
        /// A result a case, in order.
        package var results: [Result]
        /// How often the other session was answered meanwhile.
        package var pings: Int
        /// The slowest of these answers.
        package var slowestPing: Duration
        /// What the process that hosts the sessions held at the start and at the end, in bytes.
        package var memory: (before: Int64, after: Int64)
        /// What was wrong for others meanwhile; empty where nothing was.
        package var problems: [String] = []

        /// Whether every case ended as it must and nobody else noticed.
        package var isGood: Bool { count(.failed) == 0 && problems.isEmpty }

        /// How many cases ended so.
        package func count(_ verdict: Result.Verdict) -> Int { results.count { $0.verdict == verdict } }
    }

    private let open: @Sendable () async throws -> any ControlChannel
    private let function: String?
    private let host: Int32
    private let limit: Duration
    private let allowance: Duration
    private let pingLimit: Duration
    private let cases: [HostileCase]

    /// The most that the process which hosts the sessions may have grown by; what an allocator keeps is no leak.
    package static let growth: Int64 = 64 << 20

    /// Makes a suite.
    ///
    /// - Parameters:
    ///   - open: Opens a session.
    ///   - function: A function of the host that changes nothing; nil skips the cases that need one.
    ///   - host: The process that hosts the sessions, whose memory is measured; nil for this one.
    ///   - limit: What each script may take.
    ///   - allowance: What a script may take beyond its limit before the case has failed.
    ///   - pingLimit: What an answer to another session may take meanwhile.
    ///   - cases: The scripts.
    package init(
        open: @escaping @Sendable () async throws -> any ControlChannel, function: String?, host: Int32? = nil,
        limit: Duration = .seconds(1), allowance: Duration = .milliseconds(250),
        pingLimit: Duration = .milliseconds(50), cases: [HostileCase] = HostileCase.all
    ) {
        self.open = open
        self.function = function
        self.host = host ?? getpid()
        self.limit = limit
        self.allowance = allowance
        self.pingLimit = pingLimit
        self.cases = cases
    }

    /// Runs all cases, one after the other.
    ///
    /// - Parameter told: Told of each result as it comes.
    /// - Returns: A result a case, and what the other session saw meanwhile.
    /// - Throws: ``ControlError`` where no session can be opened.
    package func run(told: @Sendable (Result) -> Void = { _ in }) async throws -> Report {
        let bystander = try await open()
        let pings = PingRecord()
        let pinging = Task {
            while !Task.isCancelled {
                let start = ContinuousClock.now
                pings.begin()
                do { _ = try await bystander.perform(.ping, for: MuteClient()) } catch {
                    pings.end((error as? any CodedError)?.message ?? "\(error)")
                    return
                }
                pings.note(.now - start)
                try await Task.sleep(for: .milliseconds(10))
            }
        }
        defer { pinging.cancel() }
        // Once before measuring, so that what is made once is not counted.
        if let first = cases.first { _ = try await result(of: first) }
        var report = Report(results: [], pings: 0, slowestPing: .zero, memory: (residentBytes, 0))
        for hostile in cases + hostCases {
            let result = try await result(of: hostile)
            report.results.append(result)
            told(result)
        }
        for result in try await [lostWorker()] + Self.elsewhere {
            report.results.append(result)
            told(result)
        }
        report.memory.after = residentBytes
        (report.pings, report.slowestPing) = pings.sum
        report.problems = problems(report, pings.end)
        await bystander.close()
        return report
    }

    /// What others had to suffer.
    private func problems(_ report: Report, _ end: String?) -> [String] {
        var problems: [String] = []
        if let end { problems.append("another session was answered no more: \(end)") }
        if report.pings == 0, end == nil { problems.append("another session was not answered once") }
        if report.slowestPing > pingLimit {
            problems.append(
                "another session waited \(report.slowestPing.inMilliseconds) ms for an answer, more than "
                    + "\(pingLimit.inMilliseconds) ms")
        }
        let growth = report.memory.after - report.memory.before
        if growth > Self.growth { problems.append("memory grew by \(growth >> 20) MiB") }
        return problems
    }

    /// Cases that call the host.
    private var hostCases: [HostileCase] {
        guard let function else { return [] }
        return [
            HostileCase(
                "86", "calling the host from a comparison of sort", .good,
                texts: [
                    "local n = 0 table.sort({3, 1, 2}, function(a, b) \(function)() n = n + 1 return a < b end) assert(n > 0)"
                ]),
            HostileCase(
                "87", "a million calls of the host", .stopped, texts: ["for i = 1, 1000000 do \(function)() end"]),
            HostileCase(
                "87b", "calls of the host under pcall", .stopped,
                texts: ["while true do pcall(\(function)) end"]),
            HostileCase(
                "88b", "arguments that are no data", .refused(["no data", "holds itself", "list"]),
                texts: ["local t = {} t[1] = t \(function)(t)"]),
        ]
    }

    /// What needs more than a session that runs scripts.
    private static let elsewhere: [Result] = [
        ("88", "two scripts rotate one keyring at once", "needs an instance whose keys may be turned"),
        ("89", "a script killed between backup and rotation", "needs an instance whose keys may be turned"),
        ("90", "a schedule that returns the past, NaN, a text", "needs an instance with a schedule of its own"),
        ("91", "a schedule with two answers to one question", "every call begins anew, so that none remembers another"),
        ("93", "a hook that rotates its own keyring", "needs an instance whose keys may be turned"),
        ("95", "a worker that answers garbage", "needs another worker than the installed one"),
    ].map { Result(id: $0.0, title: $0.1, verdict: .skipped, detail: $0.2, time: .zero) }

    private func result(of hostile: HostileCase) async throws -> Result {
        let session = try await open()
        var ending = Ending.good
        var time = Duration.zero
        for text in hostile.texts {
            let start = ContinuousClock.now
            ending = await run(text, in: session)
            time = .now - start
        }
        let problem = problem(hostile.ending, ending, time)
        // Whatever it did, the session goes on.
        let next = await run("assert(1 + 1 == 2)", in: session)
        await session.close()
        let detail = problem ?? (next.isGood ? ending.words : "the next script failed: \(next.words)")
        let isPassed = problem == nil && next.isGood
        return Result(
            id: hostile.id, title: hostile.title, verdict: isPassed ? .passed : .failed, detail: detail, time: time)
    }

    /// Why an ending is not the one that was wanted; nil where it is.
    private func problem(_ wanted: HostileCase.Ending, _ ending: Ending, _ time: Duration) -> String? {
        if time > limit + allowance { return "took \(time.inMilliseconds) ms: \(ending.words)" }
        switch (wanted, ending) {
        case (.good, .good), (.stopped, .stopped), (.ended, _): return nil
        case (.refused(let words), .failed(_, let message)):
            return words.contains(where: message.contains) ? nil : "failed otherwise: \(message)"
        case (.refused(let words), .stopped(let message)):
            return words.contains(where: message.contains) ? nil : "was stopped: \(message)"
        default: return "ended otherwise: \(ending.words)"
        }
    }

    /// The worker is killed while it computes: the session says so and goes on.
    private func lostWorker() async throws -> Result {
        let (id, title) = ("96", "a worker killed while it computes")
        let session = try await open()
        _ = await run("kept = 1", in: session)
        let start = ContinuousClock.now
        async let computing = run("while true do end", in: session)
        try await Task.sleep(for: .milliseconds(100))
        if let local = session as? LocalScriptChannel, let process = await local.workerID {
            kill(process, SIGKILL)
        } else {
            await session.killScript()
        }
        let ending = await computing
        let time = ContinuousClock.now - start
        let next = await run("assert(kept == nil)", in: session)
        await session.close()
        let isPassed = ending.isLoss && next.isGood
        return Result(
            id: id, title: title, verdict: isPassed ? .passed : .failed,
            detail: isPassed ? ending.words : "\(ending.words); then \(next.words)", time: time)
    }

    private func run(_ text: String, in session: any ControlChannel) async -> Ending {
        var script = Script(text, name: "selftest", isInteractive: false)
        script.timeLimit = limit
        do {
            _ = try await session.perform(.script(script), for: MuteClient())
            return .good
        } catch let error as ControlError {
            let stops = ["callerLimitExceeded", "callerInterrupted", "internalWorkerLost"]
            return stops.contains(error.codeName)
                ? .stopped(error.message) : .failed(error.codeName, error.message)
        } catch {
            return .failed("internalFailure", "\(error)")
        }
    }

    /// The memory that the host of the sessions holds; 0 where it cannot be looked up.
    private var residentBytes: Int64 {
        let text = (try? String(contentsOfFile: "/proc/\(host)/status", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return (line?.split(separator: " ").dropFirst().first.flatMap { Int64($0) } ?? 0) << 10
    }
}

/// How a text ended.
private enum Ending {
    case good
    case failed(String, String)
    case stopped(String)

    var isGood: Bool { if case .good = self { true } else { false } }

    var isLoss: Bool {
        if case .stopped(let message) = self { message.contains("variables gone") } else { false }
    }

    var words: String {
        switch self {
        case .good: "ended well"
        case .failed(_, let message): "refused: \(message)"
        case .stopped(let message): "stopped: \(message)"
        }
    }
}

/// How long pings took.
private final class PingRecord: Sendable {
    private struct State {
        var count = 0
        var slowest = Duration.zero
        /// When the one began that is not answered yet.
        var pending: ContinuousClock.Instant?
        var end: String?
    }

    private let state = Mutex(State())

    func begin() { state.withLock { $0.pending = .now } }

    func note(_ time: Duration) {
        state.withLock { state in
            state.count += 1
            state.slowest = max(state.slowest, time)
            state.pending = nil
        }
    }

    /// Notes why there are no more.
    func end(_ why: String) { state.withLock { $0.end = why } }

    /// How many were answered, and the longest wait, that of one without an answer included.
    var sum: (Int, Duration) {
        state.withLock { ($0.count, max($0.slowest, $0.pending.map { .now - $0 } ?? .zero)) }
    }

    /// Why there were no more; nil where they went on.
    var end: String? { state.withLock { $0.end } }
}

/// Shows nothing and answers nothing.
private struct MuteClient: ControlClient {
    func show(_ event: ControlEvent) async {}
    func answer(_ question: Question) async -> String? { nil }
}

extension Duration {
    fileprivate var inMilliseconds: Int64 { Int64(self / .milliseconds(1)) }
}
