/// Edits one input of one or more lines: keys go in, what they come to comes out, and ``frame(in:)`` says how it looks.
///
/// Does no input or output and holds no clock.
package struct LineEditor: Sendable {
    /// What a key came to.
    package enum Outcome: Hashable, Sendable {
        /// Editing goes on.
        case editing
        /// The input is handed in.
        case submitted(Submission)
        /// Control and C; what was typed is gone.
        case interrupted(hadText: Bool)
        /// Control and D in an empty input.
        case ended
        /// Somebody wants to know what could come; answered with ``take(_:)-(Completion)``.
        case completing(text: String, cursor: Int)
        /// Control and Z.
        case suspended
        /// Control and backslash: out, whatever happens.
        case abandoned
        /// Control and L: the screen is wiped.
        case cleared
        /// The key could do nothing.
        case refused
    }

    /// An input that was handed in.
    package struct Submission: Hashable, Sendable {
        /// The text.
        package let text: String
        /// Whether it was typed, all of it; what was pasted is never a command.
        package let isTyped: Bool
    }

    /// What stands before the input.
    package struct Prompt: Hashable, Sendable {
        /// The text.
        package var text: String
        /// How it is set off.
        package var role: Style.Role
        /// The text before the second line and those that follow.
        package var continuation: String

        /// Makes a prompt.
        package init(_ text: String, role: Style.Role = .strong, continuation: String = "> ") {
            self.text = text
            self.role = role
            self.continuation = continuation
        }
    }

    /// What stands before the input.
    package var prompt: Prompt
    /// What was put in before.
    package var history: History
    /// How the functions are called that can be called, by name; shown below the input.
    package var signatures: [String: String] = [:]
    /// How text is set off.
    package let style: Style

    /// The input.
    package internal(set) var buffer = EditBuffer()
    /// Whether any of the input was pasted.
    var hasPastedText = false
    var undo = UndoStack()
    var killRing = KillRing()
    var walk: HistoryWalk?
    var search: HistorySearch?
    var completion: Completion?
    /// The last key's part in a row of equal ones.
    var streak = Streak.none
    /// The first row of the input that is shown, where not all are.
    var top = 0

    enum Streak: Sendable {
        case none, killing, yanking(Range<Int>), tabbing
    }

    /// Makes an editor of an empty input.
    package init(prompt: Prompt, history: History = History(), style: Style = .plain) {
        self.prompt = prompt
        self.history = history
        self.style = style
    }

    /// Whether nothing is typed and nothing is searched for.
    package var isEmpty: Bool { buffer.isEmpty && search == nil }

    /// Begins a new input.
    package mutating func clear() {
        buffer = EditBuffer()
        hasPastedText = false
        undo = UndoStack()
        walk = nil
        search = nil
        completion = nil
        streak = .none
        top = 0
    }

    /// Goes on with an input that was handed in and is not complete: a new line begins behind it.
    package mutating func resume(_ submission: Submission) {
        clear()
        hasPastedText = !submission.isTyped
        buffer.insert(submission.text + "\n")
    }

    /// Takes a key.
    package mutating func take(_ key: Key) -> Outcome {
        let former = streak
        streak = .none
        if search != nil, let outcome = searching(key) { return outcome }
        let hadCompletion = completion != nil
        if key != .tab { completion = nil }
        if key != .up, key != .down, key != .control("p"), key != .control("n") { walk = nil }
        switch key {
        case .text(let text): return insert(text, .typing)
        case .paste(let text):
            if !text.isEmpty { hasPastedText = true }
            return insert(text, .other)
        case .pasteTooLong, .unknown: return .refused
        case .escape: return hadCompletion ? .editing : .refused
        case .tab: return complete(again: former)
        case .backTab: return .refused
        case .enter: return enter()
        case .altEnter: return insert("\n", .other)
        case .control(let letter): return control(letter, former)
        case .alt(let letter): return alt(letter, former)
        default: return edit(key, former)
        }
    }

    private mutating func insert(_ text: String, _ change: UndoStack.Change) -> Outcome {
        undo.record(buffer, before: text == " " ? .other : change)
        return buffer.insert(text) ? .editing : .refused
    }

    private mutating func enter() -> Outcome {
        guard buffer.isInLastLine else { return insert("\n", .other) }
        let submission = Submission(text: buffer.text, isTyped: !hasPastedText)
        buffer.move(to: buffer.characters.count)
        return .submitted(submission)
    }

    private mutating func edit(_ key: Key, _ former: Streak) -> Outcome {
        switch key {
        case .backspace: erase(buffer.cursor - 1..<buffer.cursor)
        case .delete: erase(buffer.cursor..<buffer.cursor + 1)
        case .altBackspace: kill(buffer.wordStart..<buffer.cursor, former, .start)
        case .left: move(to: buffer.cursor - 1)
        case .right: move(to: buffer.cursor + 1)
        case .wordLeft: move(to: buffer.wordStart)
        case .wordRight: move(to: buffer.wordEnd)
        case .home: move(to: buffer.lineStart)
        case .end: move(to: buffer.lineEnd)
        case .up: return up()
        case .down: return down()
        case .pageUp: move(to: 0)
        case .pageDown: move(to: buffer.characters.count)
        default: return .refused
        }
        return .editing
    }

    private mutating func control(_ letter: Character, _ former: Streak) -> Outcome {
        switch letter {
        case "a": return edit(.home, former)
        case "b": return edit(.left, former)
        case "c": return interrupt()
        case "d": return buffer.isEmpty ? .ended : edit(.delete, former)
        case "e": return edit(.end, former)
        case "f": return edit(.right, former)
        case "g": return .editing
        case "k":
            let end = buffer.cursor == buffer.lineEnd ? buffer.cursor + 1 : buffer.lineEnd
            kill(buffer.cursor..<end, former, .end)
        case "l": return .cleared
        case "n": return down()
        case "o": return insert("\n", .other)
        case "p": return up()
        case "r", "s": beginSearch()
        case "t":
            undo.record(buffer, before: .other)
            buffer.transpose()
        case "u": kill(buffer.lineStart..<buffer.cursor, former, .start)
        case "w": kill(buffer.spacedWordStart..<buffer.cursor, former, .start)
        case "y": return yank(killRing.latest(), over: buffer.cursor..<buffer.cursor)
        case "z": return .suspended
        case "_": return takeBack(undo.undo(buffer))
        case "\\": return .abandoned
        default: return .refused
        }
        return .editing
    }

    private mutating func alt(_ letter: Character, _ former: Streak) -> Outcome {
        switch letter {
        case "b": return edit(.wordLeft, former)
        case "f": return edit(.wordRight, former)
        case "d": kill(buffer.cursor..<buffer.wordEnd, former, .end)
        case "y":
            guard case .yanking(let range) = former else { return .refused }
            return yank(killRing.earlier(), over: range)
        case "_", "/": return takeBack(undo.redo(buffer))
        case "<": return toHistory(.oldest)
        case ">": return toHistory(.newest)
        case "u": changeWord { $0.uppercased() }
        case "l": changeWord { $0.lowercased() }
        case "c": changeWord { $0.prefix(1).uppercased() + $0.dropFirst().lowercased() }
        default: return .refused
        }
        return .editing
    }

    private mutating func interrupt() -> Outcome {
        let hadText = !buffer.isEmpty
        killRing.keep(KillRing.Piece(text: buffer.text, isPasted: hasPastedText))
        clear()
        return .interrupted(hadText: hadText)
    }

    private mutating func move(to position: Int) {
        undo.separate()
        buffer.move(to: position)
    }

    private mutating func erase(_ range: Range<Int>) {
        guard range.lowerBound >= 0, range.upperBound <= buffer.characters.count else { return }
        undo.record(buffer, before: .erasing)
        _ = buffer.remove(range)
        if buffer.isEmpty { hasPastedText = false }
    }

    private mutating func kill(_ range: Range<Int>, _ former: Streak, _ side: KillRing.Side) {
        let range = range.clamped(to: 0..<buffer.characters.count)
        guard !range.isEmpty else { return }
        undo.record(buffer, before: .other)
        let piece = KillRing.Piece(text: buffer.remove(range), isPasted: hasPastedText)
        if case .killing = former { killRing.keep(piece, joining: side) } else { killRing.keep(piece) }
        streak = .killing
        if buffer.isEmpty { hasPastedText = false }
    }

    private mutating func yank(_ piece: KillRing.Piece?, over range: Range<Int>) -> Outcome {
        guard let piece else { return .refused }
        undo.record(buffer, before: .other)
        guard buffer.replace(range, with: piece.text) else { return .refused }
        hasPastedText = hasPastedText || piece.isPasted
        streak = .yanking(range.lowerBound..<max(range.lowerBound, buffer.cursor))
        return .editing
    }

    private mutating func takeBack(_ other: EditBuffer?) -> Outcome {
        guard let other else { return .refused }
        buffer = other
        return .editing
    }

    private mutating func changeWord(_ change: (String) -> String) {
        let range = buffer.cursor..<buffer.wordEnd
        guard !range.isEmpty else { return }
        undo.record(buffer, before: .other)
        buffer.replace(range, with: change(String(buffer.characters[range])))
    }
}
