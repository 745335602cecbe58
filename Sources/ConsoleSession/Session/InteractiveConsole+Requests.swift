internal import Control
internal import Foundation
internal import Frames
internal import Terminal

extension InteractiveConsole {
    /// Begins a request; its end comes as a message with the number that is handed out.
    func begin(_ request: ControlRequest) -> Int {
        requestNumber += 1
        let number = requestNumber
        Task { [connection, bridge] in
            do {
                let answer = try await connection.perform(request, for: bridge)
                bridge.post(.finished(number: number, .success(answer)))
            } catch {
                bridge.post(.finished(number: number, .failure(error)))
            }
        }
        return number
    }

    /// Performs a request to its end, with the person able to stop it.
    func finish(_ request: ControlRequest) async -> Result<Answer, any Error> {
        let number = begin(request)
        let start = ContinuousClock.now
        var stops = 0
        progress = ProgressLine()
        defer { clearProgress() }
        while true {
            let tick = progress.isShown || stops > 0 ? nil : start + .seconds(1)
            let deadline = tick.map { $0 > ContinuousClock.now ? $0 : ContinuousClock.now + .seconds(1) }
            switch await next(until: deadline, takesTypedAhead: false) {
            case .message(.finished(number, let result)): return result
            case .message(.event(let event)): show(event)
            case .message(.question(let question, let reply)):
                let answer = await ask(question)
                reply.give(answer)
                if isLeaving { return .failure(Self.left) }
            case .message(.finished(let other, let result)): take(result, ofBackground: other)
            case .key(.control("c")), .signal(.interrupt):
                stops += 1
                if !stop(stops) { return abandon() }
            case .key(.control("\\")), .signal(.end), .closed:
                return abandon()
            case .key(.control("z")), .signal(.stop):
                clearProgress()
                suspend()
            case .key(let key): if typedAhead.count < Self.aheadLimit { typedAhead.append(key) }
            case .signal(.resume): device.enterEditing()
            case .signal(.resize): presentation.width = device.size.columns
            case .timeout: showWaiting(since: start)
            }
        }
    }

    private func abandon() -> Result<Answer, any Error> {
        (isLeaving, hasAbandoned) = (true, true)
        return .failure(Self.left)
    }

    private static let left = ControlError(.callerInterrupted, "left while it ran")

    /// Stops what runs, a little harder each time.
    ///
    /// - Returns: False where the person leaves.
    private func stop(_ times: Int) -> Bool {
        // What comes behind it was typed after it, another Ctrl-C perhaps.
        typedAhead = []
        switch times {
        case 1:
            say(progress.run.map { "^C  leaving run \($0), which goes on" } ?? "^C  asking it to end", .warning)
            Task { [connection] in await connection.cancel() }
        case 2:
            say("^C  killing the script; the session's variables are lost", .warning)
            Task { [connection] in await connection.killScript() }
        default:
            say("^C  leaving; nothing answers", .warning)
            return false
        }
        return true
    }

    /// Shows what happens while something runs.
    func show(_ event: ControlEvent) {
        switch event {
        case .output(let text):
            clearProgress()
            write(text.escapedLines + (text.hasSuffix("\n") ? "" : "\n"))
        case .note(let text): say(text)
        case .warning(let text): say("warning: \(text)", .warning)
        case .review(let answer):
            clearProgress()
            write(presentation.review(answer))
        case .progress(let now): show(now)
        }
    }

    private func show(_ now: ControlEvent.Progress) {
        progress.run = now.run
        guard !settings.isQuiet else { return }
        guard Self.rewritesLine(settings) else { return showPlain(now) }
        let size = TerminalSize(descriptor: STDERR_FILENO, environment: settings.environment)
        let line = ProgressText.line(now, width: max(1, size.columns - 1), style: editor.style)
        TerminalDevice.write("\r\u{1B}[K" + line, to: STDERR_FILENO)
        progress.isShown = true
    }

    private func showPlain(_ now: ControlEvent.Progress) {
        if let last = progress.lastPlain, last.phase == now.phase, last.time.duration(to: .now) < .seconds(2) { return }
        progress.lastPlain = (now.phase, .now)
        TerminalDevice.write(ProgressText.plain(now) + "\n", to: STDERR_FILENO)
    }

    /// Says that something still runs, where nothing else does.
    private func showWaiting(since start: ContinuousClock.Instant) {
        guard Self.rewritesLine(settings), !settings.isQuiet, progress.run == nil else { return }
        let seconds = Int(start.duration(to: .now) / .seconds(1))
        let line = editor.style.apply(.faint, to: "running for \(seconds) s; Ctrl-C cancels")
        TerminalDevice.write("\r\u{1B}[K" + line, to: STDERR_FILENO)
        isWaitingShown = true
    }

    /// Whether a line of progress is written over: on a terminal that can.
    private static func rewritesLine(_ settings: ConsoleSettings) -> Bool {
        TerminalSize.isTerminal(STDERR_FILENO) && settings.environment["TERM"] != "dumb"
    }

    /// Takes the line of progress off the terminal.
    func clearProgress() {
        guard progress.isShown || isWaitingShown else { return }
        TerminalDevice.write("\r\u{1B}[K", to: STDERR_FILENO)
        progress.isShown = false
        isWaitingShown = false
    }

    /// Asks a person something; what was typed before is no answer.
    func ask(_ question: Question) async -> String? {
        clearProgress()
        handedIn = nil
        typedAhead = []
        pendingKeys = []
        device.dropInput()
        var lines = question.text.split(separator: "\n").map(\.escapedForTerminal)
        let last = (lines.last?.terminalWidth ?? 0) + 20 > device.size.columns ? nil : lines.popLast()
        if !lines.isEmpty { write(lines.joined(separator: "\n") + "\n") }
        var asking = LineEditor(prompt: LineEditor.Prompt(last.map { "\($0): " } ?? "> "), style: editor.style)
        var typed = SecretInput()
        var shown = EditorScreen()
        defer { device.write(shown.leave()) }
        while true {
            device.write(shown.show(asking.frame(in: device.size)))
            switch await next(takesTypedAhead: false) {
            case .key(let key):
                // What must not be shown is edited apart from what is.
                if question.isSecret {
                    switch typed.take(key) {
                    case .typing: break
                    case .done: return typed.text
                    case .declined: return nil
                    }
                } else {
                    switch asking.take(key.withoutLineEnd) {
                    case .submitted(let submission): return submission.text
                    case .interrupted, .ended, .abandoned: return nil
                    default: break
                    }
                }
            case .signal(.interrupt): return nil
            case .signal(.end), .closed:
                isLeaving = true
                return nil
            case .signal(.resize): device.write(shown.erase(afterWidthBecame: device.size.columns))
            case .signal(.resume): device.enterEditing()
            case .signal(.stop), .timeout: break
            case .message(.finished(let number, let result)):
                bridge.post(.finished(number: number, result))
                return nil
            case .message(.question(_, let reply)): reply.give(nil)
            case .message(.event(let event)): if case .progress = event { break } else { show(event) }
            }
        }
    }
}

/// Something that is typed and not shown.
private struct SecretInput {
    enum Outcome {
        case typing, done, declined
    }

    private(set) var text = ""
    /// The most characters.
    private static let limit = 1 << 16

    mutating func take(_ key: Key) -> Outcome {
        switch key.withoutLineEnd {
        case .text(let more), .paste(let more): if text.utf8.count + more.utf8.count <= Self.limit { text += more }
        case .backspace: _ = text.popLast()
        case .control("u"): text = ""
        case .enter: return .done
        case .control("c"), .control("\\"), .control("d"): return .declined
        default: break
        }
        return .typing
    }
}

extension Key {
    /// The key, a paste without the end of its last line.
    fileprivate var withoutLineEnd: Key {
        guard case .paste(let text) = self else { return self == .altEnter ? .enter : self }
        return .paste(String(text.prefix { !$0.isNewline }))
    }
}
