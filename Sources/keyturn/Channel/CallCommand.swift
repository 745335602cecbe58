internal import Control
internal import Foundation
internal import Frames
internal import KeyModel
internal import Rotation

/// A command that is calls on an instance.
protocol CallCommand: InstanceCommand {
    /// Makes the calls.
    func perform(_ caller: Caller) async throws -> Outcome
}

extension CallCommand {
    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let way = try await CommandChannel.open(global)
        interrupt.onSet { Task { await way.interrupt() } }
        do {
            let outcome = try await perform(Caller(way: way, console: console, global: global, interrupt: interrupt))
            await way.close()
            return outcome
        } catch {
            await way.close()
            throw error
        }
    }
}

/// Makes calls for a command.
struct Caller {
    let way: CommandChannel
    let console: Console
    let global: GlobalOptions
    let interrupt: Interrupt

    private static let notConfirmed = ControlError.Code.callerNotConfirmed.rawValue

    /// Calls an entry of the API.
    ///
    /// - Parameters:
    ///   - name: The entry.
    ///   - arguments: Its arguments by name; those without a value are left out.
    ///   - descriptors: Files for what passes through no message; closed afterwards.
    /// - Returns: What it came to.
    /// - Throws: ``ControlError``.
    func call(_ name: String, _ arguments: [String: FrameValue?] = [:], descriptors: [Int32] = []) async throws
        -> Answer
    {
        let call = Call(
            name, named: arguments.compactMapValues { $0 }, confirmation: global.yes ? .given : .ask,
            descriptors: descriptors)
        return try await perform(call)
    }

    /// Performs a call as it stands.
    ///
    /// - Throws: ``ControlError``.
    func perform(_ call: Call) async throws -> Answer {
        do {
            let answer = try await way.channel.perform(.call(call), for: CommandClient(console: console))
            console.finishProgress()
            return answer
        } catch let error as ControlError where error.codeName == Self.notConfirmed && interrupt.isSet {
            throw CommandError(.callerInterrupted, "interrupted", hint: "Nothing was changed.", status: .interrupted)
        }
    }

    /// Calls an entry and hands back what to print, and how to end where the answer is not as it should be.
    ///
    /// - Throws: ``ControlError``.
    func outcome(
        _ name: String, _ arguments: [String: FrameValue?] = [:], elseEnding status: ExitStatus = .failed
    ) async throws -> Outcome {
        let outcome = outcome(of: try await call(name, arguments))
        return outcome.status == .failed ? Outcome(outcome.report, status: status) : outcome
    }

    /// What to print of an answer, and how to end: with 130 where a run was left open since somebody stopped it.
    func outcome(of answer: Answer) -> Outcome {
        let isOpen: Bool
        if case .string(let state)? = answer.value["summary"]?["state"] {
            isOpen = ["open", "paused", "waiting", "needsOperator"].contains(state)
        } else {
            isOpen = false
        }
        let status: ExitStatus = interrupt.isSet && isOpen ? .interrupted : answer.isGood ? .ok : .failed
        return Outcome(Report(answer), status: status)
    }
}

extension FrameValue {
    /// A text, or nothing.
    static func text(_ text: String?) -> FrameValue? { text.map { .string($0) } }

    /// A list of texts.
    static func texts(_ texts: [String]) -> FrameValue { .array(texts.map { .string($0) }) }

    /// True, or nothing.
    static func flag(_ flag: Bool) -> FrameValue? { flag ? true : nil }
}
