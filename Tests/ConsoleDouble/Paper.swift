import Control
import Foundation
import Frames
import Synchronization

/// Opens sessions at the instance of paper.
final class Paper: Sendable {
    private let sessions = Mutex(0)

    func open() async throws -> any ControlChannel {
        if ProcessInfo.processInfo.environment["DOUBLE_DEAD"] != nil {
            throw ControlError(.storeDaemonUnreachable, "no daemon listens", hint: "Start it.")
        }
        return PaperChannel(
            number: sessions.withLock {
                $0 += 1; return $0
            })
    }
}

/// A session at the instance of paper. An input says what it comes to:
///
/// | input | comes to |
/// |---|---|
/// | `for…`, `(`… without an end | incomplete |
/// | `hang` | ends when it is cancelled |
/// | `stuck` | ends when the script is killed |
/// | `forgets` | ends when it is cancelled, its variables lost |
/// | `dead` | never ends |
/// | `run` | a run that is watched, until it is left |
/// | `rotate` | a question after a plan; `secret` a question whose answer is not shown |
/// | `lost` | the connection breaks |
/// | `fail` | fails |
/// | `rows N`, `print TEXT` | a table of N rows, the text as output |
/// | anything else | itself, as a text |
final class PaperChannel: ControlChannel {
    private struct State {
        var isCancelled = false
        var isKilled = false
        var isLost = false
    }

    private let number: Int
    private let state = Mutex(State())

    init(number: Int) { self.number = number }

    func perform(_ request: ControlRequest, for client: any ControlClient) async throws -> Answer {
        if state.withLock({ $0.isLost }) { throw Self.lost }
        switch request {
        case .ping: return Answer(["instance": "paper", "role": "operator", "session": .integer(Int64(number))])
        case .describe: return Answer(Self.description)
        case .complete(let text, let cursor): return Answer(Self.completion(text, cursor))
        case .call: throw ControlError(.callerNotFound, "paper takes no calls")
        case .script(let script):
            state.withLock { ($0.isCancelled, $0.isKilled) = (false, false) }
            return try await perform(script.text.trimmingCharacters(in: .whitespacesAndNewlines), client)
        }
    }

    func cancel() async { state.withLock { $0.isCancelled = true } }
    func killScript() async { state.withLock { $0.isKilled = true } }
    func close() async {}

    private static let lost = ControlError(
        .storeDaemonUnreachable, "the daemon went away", hint: "What it was doing goes on or is resumed by it.")

    private static let description: FrameValue = [
        ["name": "keyrings.list", "signature": "keyrings.list()", "parameters": []],
        [
            "name": "keyrings.show", "signature": "keyrings.show(name)",
            "parameters": [["name": "name", "sensitive": false]],
        ],
        [
            "name": "columns.seal", "signature": "columns.seal(column, value)",
            "parameters": [["name": "column", "sensitive": false], ["name": "value", "sensitive": true]],
        ],
    ]

    private static func completion(_ text: String, _ cursor: Int) -> FrameValue {
        let before = String(decoding: text.utf8.prefix(cursor), as: UTF8.self)
        let word = String(before.reversed().prefix { $0.isLetter || $0 == "." || $0 == "_" }.reversed())
        let found = ["keyrings.list", "keyrings.show", "columns.seal"].filter { $0.hasPrefix(word) }
        return [
            "start": .integer(Int64(cursor - word.utf8.count)), "end": .integer(Int64(cursor)),
            "candidates": .array(found.map { ["text": .string($0), "kind": "function"] }),
        ]
    }

    private func perform(_ text: String, _ client: any ControlClient) async throws -> Answer {
        let words = text.split(separator: " ", maxSplits: 1).map(String.init)
        switch words.first {
        case "for" where !text.hasSuffix("end"): throw Self.incomplete
        case _ where text.hasSuffix("("): throw Self.incomplete
        case "hang": try await wait { $0.isCancelled }
        case "stuck":
            try await wait { $0.isKilled }
            throw ControlError(.callerScriptFailed, "the worker was killed; its variables are gone")
        case "forgets":
            try await wait { $0.isCancelled }
            throw ControlError(
                .callerInterrupted, "its worker was killed, variables gone",
                hint: "The session goes on with a fresh worker.")
        case "dead": try await wait { _ in false }
        case "run": try await watchRun(client)
        case "rotate": return try await rotate(client)
        case "secret":
            let answer = await client.answer(Question("Passphrase", isSecret: true))
            return Answer(.string("got \(answer?.count ?? -1) characters"))
        case "lost":
            state.withLock { $0.isLost = true }
            throw Self.lost
        case "fail": throw ControlError(.callerScriptFailed, "console:1: it failed", hint: "Try something else.")
        case "print":
            await client.show(.output(words.last ?? ""))
            return Answer(.null)
        case "rows": return Self.rows(Int(words.last ?? "") ?? 1)
        default: return Answer(.string(text))
        }
        throw ControlError(.callerInterrupted, "interrupted")
    }

    private static let incomplete = ControlError(.callerIncomplete, "the input is not complete")

    private static func rows(_ count: Int) -> Answer {
        let rows = (0..<count).map { ["row \($0)", String($0 * 1000)] }
        let columns = [Answer.Column("name"), Answer.Column("count", isNumber: true)]
        let value = rows.map { FrameValue.map(["name": .string($0[0]), "count": .string($0[1])]) }
        return Answer(.array(value), [.table(title: nil, columns: columns, rows: rows)])
    }

    private func rotate(_ client: any ControlClient) async throws -> Answer {
        await client.show(
            .review(Answer(.null, [.record([Answer.Field("keyring", "main"), Answer.Field("rows", "100")])])))
        guard await client.answer(Question("Type \"main\" to go ahead")) == "main" else {
            throw ControlError(.callerNotConfirmed, "not confirmed", hint: "Nothing was changed.")
        }
        return Answer(.string("rotated"))
    }

    private func watchRun(_ client: any ControlClient) async throws {
        for done in 0... {
            await client.show(
                .progress(
                    ControlEvent.Progress(
                        run: 7, phase: "reencrypt", subject: "users.email", done: min(100, Int64(done)), total: 100,
                        rate: 10,
                        leftMilliseconds: 10_000)))
            try await Task.sleep(for: .milliseconds(20))
            if state.withLock({ $0.isCancelled }) { return }
        }
    }

    private func wait(_ isOver: (State) -> Bool) async throws {
        while !state.withLock({ isOver($0) }) { try await Task.sleep(for: .milliseconds(5)) }
    }
}
