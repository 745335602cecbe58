import Foundation
import Frames
import KeyModel
import Synchronization

@testable import Scripting

/// A host that answers what tests need and keeps what scripts print.
final class TestHost: ScriptHost {
    struct Refusal: CodedError {
        var codeName = "callerNotAllowed"
        var message = "cannot do that: the role \"viewer\" does not let it"
        var hint: String? = "Ask an operator."
    }

    static let functions = [
        "echo", "test.refuse", "test.count", "test.sleep", "test.large", "test.deep.down", "keyrings", "keyrings.list",
    ]

    private let printed = Mutex("")
    private let counted = Mutex(0)

    /// What was printed.
    var output: String { printed.withLock { $0 } }
    /// How often `test.count` was called.
    var count: Int { counted.withLock { $0 } }

    func call(_ name: String, _ arguments: [FrameValue]) async throws -> FrameValue {
        switch name {
        case "echo": return .array(arguments)
        case "test.refuse": throw Refusal()
        case "test.count":
            return .integer(
                counted.withLock {
                    $0 += 1
                    return Int64($0)
                })
        case "test.sleep":
            guard case .integer(let milliseconds) = arguments.first else { return .null }
            try await Task.sleep(for: .milliseconds(milliseconds))
            return "slept"
        case "test.large": return .string(String(repeating: "x", count: 17 << 20))
        case "keyrings", "keyrings.list", "test.deep.down", "secret.prompt": return .string(name)
        default: return .null
        }
    }

    func output(_ text: String) async { printed.withLock { $0 += text } }
}

/// A session with a host of its own.
struct TestSession {
    let host = TestHost()
    let session: ScriptSession

    init(library: ScriptLibrary = ScriptLibrary(), workerPath: String? = BuiltWorker.path, outputBytes: Int64 = 1 << 20)
    {
        session = ScriptSession(
            ScriptSession.Settings(
                workerPath: workerPath, functions: TestHost.functions, library: library, outputBytes: outputBytes),
            host: host)
    }

    /// Runs a line of a console.
    func run(_ text: String, limits: ScriptLimits = .test) async throws -> [FrameValue] {
        try await session.run(text: text, name: "console", isInteractive: true, limits: limits).values
    }

    /// The error that a line gives.
    func error(_ text: String, limits: ScriptLimits = .test) async throws -> (any CodedError)? {
        do {
            _ = try await run(text, limits: limits)
            return nil
        } catch let error as any CodedError {
            return error
        }
    }
}

extension ScriptLimits {
    /// Short of processor time, and patient with a loaded machine.
    static let test = ScriptLimits(processorTime: .seconds(2), time: .seconds(60))
    /// For what has no end of its own.
    static let brief = ScriptLimits(processorTime: .milliseconds(200), time: .seconds(30))
}
