internal import Control
internal import Foundation
internal import Frames
internal import KeyModel
internal import Terminal

extension InteractiveConsole {
    /// Performs an input, and shows what it came to.
    func perform(_ submission: LineEditor.Submission) async {
        let text = submission.text
        guard !text.allSatisfy(\.isWhitespace) else { return editor.clear() }
        if text.first == "\\" {
            editor.clear()
            guard submission.isTyped else {
                return say("what is pasted is no command; type it", .warning)
            }
            return await perform(command: text)
        }
        if submission.isTyped, BackslashCommand.isFarewell(text) {
            editor.clear()
            isLeaving = true
            return
        }
        await beginSession()
        guard !isLeaving else { return }
        let start = ContinuousClock.now
        let script = Script(
            text, name: "console", isInteractive: true, confirmation: settings.confirmation)
        let result = await finish(.script(script))
        if case .failure(let error as ControlError) = result, error.means(.callerIncomplete) {
            editor.resume(submission)
            if let handedIn { screen = .rejoining(handedIn) }
            return
        }
        editor.clear()
        keep(text, isSecret: nil)
        await show(result, input: text)
        if case .success = result, LuaLexer(Array(text)).first == "local" {
            say("what is local is gone with this input; without \"local\" it stays", .warning)
        }
        if isTiming { say("time: \(Readable.duration(start.duration(to: .now)))") }
    }

    /// Opens a session behind the first prompt, so that the prompt can say more.
    func openEarly() {
        guard !hasOpenedEarly else { return }
        hasOpenedEarly = true
        backgroundRequest = begin(.ping)
        backgroundDescription = begin(.describe)
    }

    /// Takes the end of a request that nobody waits for.
    func take(_ result: Result<Answer, any Error>, ofBackground number: Int) {
        if number == backgroundDescription, case .success(let answer) = result { return learn(answer.value) }
        guard number == backgroundRequest else { return }
        switch result {
        case .success(let answer): setPrompt(answer.value)
        case .failure(let error): say((error as? any CodedError)?.message ?? "\(error)", .warning)
        }
    }

    /// Says in the prompt which instance it is, in which role, and what wants attention.
    private func setPrompt(_ facts: FrameValue) {
        var text = settings.name
        if case .string(let name)? = facts["instance"], !name.isEmpty { text = name }
        if case .string(let role)? = facts["role"] { text += " (\(role))" }
        // Whoever may destroy keys should see it before each input.
        let isDangerous = facts["role"] == "server_admin"
        let width = min(text.terminalWidth, 60)
        editor.prompt = LineEditor.Prompt(
            "\(text.truncated(to: 60))> ", role: isDangerous ? .warning : .strong,
            continuation: String(repeating: " ", count: max(0, width - 1)) + "-> ")
    }

    /// Makes sure of a session: its startup file has run, and what must be known of the API is known.
    func beginSession() async {
        let former = begunSession
        if connection.isOpen, former == connection.number { return }
        if !connection.isOpen || describedSession != connection.number {
            guard case .success(let entries) = await finish(.describe) else { return }
            learn(entries.value)
        }
        if former > 0 { say("connected again; the variables of the session before are gone") }
        begunSession = connection.number
        if former > 0, case .success(let answer) = await finish(.ping) { setPrompt(answer.value) }
        guard settings.readsStartupFile, !isLeaving else { return }
        do {
            guard var script = try StartupFile.read(environment: settings.environment) else { return }
            script.confirmation = .ask
            if case .failure(let error) = await finish(.script(script)), !isLeaving { throw error }
        } catch {
            show(error)
        }
    }

    /// Learns what can be called.
    private func learn(_ entries: FrameValue) {
        describedSession = connection.number
        sensitive = SensitiveInputs(describing: entries)
        editor.signatures = Self.signatures(entries)
    }

    private static func signatures(_ entries: FrameValue) -> [String: String] {
        guard case .array(let entries) = entries else { return [:] }
        return entries.reduce(into: [:]) { signatures, entry in
            guard case .string(let name)? = entry["name"], case .string(let signature)? = entry["signature"] else {
                return
            }
            signatures[name] = signature
        }
    }

    /// Shows what an input came to.
    func show(_ result: Result<Answer, any Error>, input: String) async {
        switch result {
        case .success(let answer): await page(presentation.text(answer))
        case .failure(let error as ControlError) where error.means(.callerInterrupted):
            if let run = progress.run {
                say("run \(run) goes on; watch it again with: runs.watch(\(run))")
            } else if !isLeaving {
                say(error.hint == nil ? "cancelled" : "cancelled: \(error.message)", .warning)
                if let hint = error.hint { say(hint) }
            }
        case .failure(let error as ControlError) where error.means(.storeDaemonUnreachable):
            show(error)
            let first = input.split(separator: "\n").first.map(String.init) ?? ""
            say("not done again: \(first.truncated(to: 60)); the next input connects anew")
        case .failure(let error): show(error)
        }
    }

    /// Writes text, through the pager where it does not fit.
    private func page(_ text: String) async {
        let rows = text.utf8.count { $0 == 0x0A }
        guard rows >= device.size.rows, let pager = Pager(environment: settings.environment) else {
            write(text)
            return
        }
        device.leaveEditing()
        let hasShown = await pager.show(text)
        device.enterEditing()
        if !hasShown { write(text) }
    }

    /// Adds an input to the history, and to its file where that may hold it.
    private func keep(_ text: String, isSecret: Bool?) {
        guard editor.history.add(text) else { return }
        let holdsSecret = isSecret ?? (sensitive?.holdsSecret(text) ?? true)
        guard text.first != " ", !holdsSecret else { return }
        let now = Int64(Date().timeIntervalSince1970)
        if let note = historyFile?.append(text, time: now) { say(note, .warning) }
    }

    private func perform(command text: String) async {
        do {
            let command = try BackslashCommand(text)
            // What is watched is Lua, which may hold a secret; whether it does is known once the API is.
            if case .watch = command { await beginSession() }
            keep(text, isSecret: command.isLua ? nil : false)
            await perform(command)
        } catch {
            // What is no command may still hold one.
            keep(text, isSecret: nil)
            show(error)
        }
    }

    private func perform(_ command: BackslashCommand) async {
        switch command {
        case .help: write(Self.help(presentation).joined(separator: "\n") + "\n")
        case .leave: isLeaving = true
        case .expand:
            presentation.isExpanded.toggle()
            say("tables are shown as \(presentation.isExpanded ? "records" : "tables")")
        case .format(let format):
            presentation.format = format ?? presentation.format
            say("results are printed as \(presentation.format.rawValue)")
        case .timing:
            isTiming.toggle()
            say("times are \(isTiming ? "shown" : "not shown")")
        case .history(let count):
            let entries = editor.history.entries
            let shown = entries.enumerated().suffix(count).map { number, entry in
                "\(String(number + 1).padded(to: 5))  \(entry.escapedLines.replacing("\n", with: "\n       "))\n"
            }
            await page(shown.joined())
        case .watch(let seconds, let input): await watch(seconds, input)
        }
    }

    private static func help(_ presentation: Presentation) -> [String] {
        let table = { (rows: [[String]]) in rows.map { Record.Field($0[0], $0[1]) } }
        return Record(table(BackslashCommand.list)).lines(width: presentation.width, style: presentation.style)
            + [""] + Record(table(BackslashCommand.keys)).lines(width: presentation.width, style: presentation.style)
    }

    /// Shows an input again and again, until somebody stops it or it fails.
    private func watch(_ seconds: Double, _ input: String) async {
        while !isLeaving {
            let script = Script(input, name: "console", isInteractive: true, confirmation: settings.confirmation)
            let result = await finish(.script(script))
            say("\(Self.time())  every \(seconds.formatted()) s; Ctrl-C ends it")
            guard case .success(let answer) = result else { return await show(result, input: input) }
            guard write(presentation.text(answer) + "\n") else { return }
            guard await pause(seconds) else { return }
        }
    }

    private func pause(_ seconds: Double) async -> Bool {
        let end = ContinuousClock.now + .seconds(seconds)
        while true {
            switch await next(until: end, takesTypedAhead: false) {
            case .timeout: return true
            case .key(.control("c")), .signal(.interrupt), .key(.control("d")), .key(.text("q")): return false
            case .key(.control("\\")), .signal(.end), .closed:
                isLeaving = true
                return false
            case .signal(let signal): _ = take(signal)
            case .message(let message): take(message)
            case .key: break
            }
        }
    }

    private static func time() -> String {
        Date().formatted(.iso8601.time(includingFractionalSeconds: false))
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String { String(repeating: " ", count: max(0, width - count)) + self }
}
