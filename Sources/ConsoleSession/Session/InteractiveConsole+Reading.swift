internal import Control
internal import Foundation
internal import Frames
internal import Terminal

extension InteractiveConsole {
    /// Reads one input.
    ///
    /// - Returns: nil where the person leaves.
    func read() async -> LineEditor.Submission? {
        var wasInterrupted = false
        draw()
        openEarly()
        while true {
            let event = await next()
            switch event {
            case .key(let key):
                let outcome = editor.take(key)
                if case .interrupted(hadText: false) = outcome, wasInterrupted { return leaveInput() }
                wasInterrupted = outcome == .interrupted(hadText: false)
                switch await follow(outcome) {
                case .reading: break
                case .done(let submission): return submission
                }
            case .signal(.interrupt): if await interrupt() == nil { return leaveInput() }
            case .signal(let signal): if !take(signal) { return leaveInput() }
            case .message(let message): take(message)
            case .timeout: break
            case .closed:
                isLeaving = true
                return nil
            }
            draw()
        }
    }

    private enum Step {
        case reading
        case done(LineEditor.Submission?)
    }

    private func follow(_ outcome: LineEditor.Outcome) async -> Step {
        switch outcome {
        case .editing: break
        case .submitted(let submission):
            draw()
            let shown = screen
            device.write(screen.leave())
            handedIn = shown
            return .done(submission)
        case .interrupted(let hadText):
            draw()
            device.write("^C" + screen.leave())
            if !hadText { say("Ctrl-C again or Ctrl-D leaves, \\? lists what there is") }
        case .ended, .abandoned: return .done(leaveInput())
        case .completing(let text, let cursor): await complete(text, cursor)
        case .suspended:
            suspend()
        case .cleared: device.write(screen.wipe())
        case .refused: device.write("\u{7}")
        }
        return .reading
    }

    /// What Control and C would do, asked for by a signal.
    private func interrupt() async -> Void? {
        guard case .done = await follow(editor.take(.control("c"))) else { return () }
        return nil
    }

    private func leaveInput() -> LineEditor.Submission? {
        device.write(screen.leave())
        isLeaving = true
        return nil
    }

    /// Takes a signal while nothing runs.
    ///
    /// - Returns: False where it means the end.
    func take(_ signal: TerminalSignals.Signal) -> Bool {
        switch signal {
        case .end: return false
        case .resize:
            device.write(screen.erase(afterWidthBecame: device.size.columns))
            presentation.width = device.size.columns
        case .resume:
            device.enterEditing()
            screen = EditorScreen()
        case .stop: suspend()
        case .interrupt: break
        }
        return true
    }

    /// Stops until the shell lets it go on.
    func suspend() {
        device.write(screen.leave())
        device.leaveEditing()
        TerminalSignals.suspend()
        device.enterEditing()
    }

    /// Takes a message that belongs to nothing that runs.
    func take(_ message: ConsoleBridge.Message) {
        switch message {
        case .event(.note(let text)): say(text)
        case .event(.warning(let text)): say(text, .warning)
        case .event: break
        case .question(_, let reply): reply.give(nil)
        case .finished(let number, let result): take(result, ofBackground: number)
        }
    }

    private func complete(_ text: String, _ cursor: Int) async {
        if text.first == "\\" { return completeCommand(text) }
        guard connection.isOpen else {
            device.write("\u{7}")
            return
        }
        let number = begin(.complete(text: text, cursor: cursor))
        let deadline = ContinuousClock.now + Self.completionTime
        var keys: [Key] = []
        var later: [TerminalSignals.Signal] = []
        waiting: while true {
            switch await next(until: deadline, takesTypedAhead: false) {
            case .message(.finished(number, let result)):
                if case .success(let answer) = result, let completion = Completion(answer.value, of: text, cursor) {
                    if editor.take(completion) { break waiting }
                }
                device.write("\u{7}")
                break waiting
            case .key(let key): keys.append(key)
            case .signal(let signal): later.append(signal)
            case .message(let message): take(message)
            case .timeout, .closed: break waiting
            }
        }
        // What was typed meanwhile comes next.
        pendingKeys = keys + pendingKeys
        pendingSignals += later
    }

    private func completeCommand(_ text: String) {
        let words =
            ["\\?", "\\history", "\\o ", "\\q", "\\timing", "\\watch ", "\\x"]
            + ResultFormat.allCases.map { "\\o \($0.rawValue)" }
        let found = words.filter { $0.hasPrefix(text) && $0 != text }
        let completion = Completion(
            of: text, range: 0..<text.utf8.count, candidates: found.map { Completion.Candidate($0) })
        if !editor.take(completion) { device.write("\u{7}") }
    }
}

extension Completion {
    /// Reads the answer to ``ControlRequest/complete(text:cursor:)``; nil where it is none.
    init?(_ value: FrameValue, of text: String, _ cursor: Int) {
        guard case .integer(let start)? = value["start"], case .integer(let end)? = value["end"],
            case .array(let items)? = value["candidates"], start >= 0, start <= end, end <= cursor
        else { return nil }
        let candidates = items.prefix(1000).compactMap { item -> Candidate? in
            guard case .string(let text)? = item["text"] else { return nil }
            if case .string(let signature)? = item["signature"] { return Candidate(text, signature: signature) }
            return Candidate(text)
        }
        let input = String(decoding: text.utf8.prefix(cursor), as: UTF8.self)
        self.init(of: input, range: Int(start)..<Int(end), candidates: candidates)
    }
}
