extension LineEditor {
    /// Asks what could come; indents at the beginning of a line; shows the possibilities where it was asked before.
    mutating func complete(again former: Streak) -> Outcome {
        streak = .tabbing
        let line = buffer.characters[buffer.lineStart..<buffer.cursor]
        if line.allSatisfy({ $0 == " " }) {
            undo.record(buffer, before: .other)
            return buffer.insert("  ") ? .editing : .refused
        }
        return .completing(text: buffer.text, cursor: buffer.textBeforeCursor.utf8.count)
    }

    /// Takes the answer to ``Outcome/completing(text:cursor:)``; one that comes too late changes nothing.
    ///
    /// - Returns: Whether there was anything to do.
    @discardableResult
    package mutating func take(_ answer: Completion) -> Bool {
        completion = nil
        guard answer.input == buffer.textBeforeCursor, let range = answer.characters, !answer.candidates.isEmpty else {
            return false
        }
        let prefix = answer.commonPrefix
        if prefix != String(buffer.characters[range]), prefix.count >= range.count {
            undo.record(buffer, before: .other)
            guard buffer.replace(range.lowerBound..<buffer.cursor, with: prefix) else { return false }
            if answer.candidates.count == 1 { return true }
        }
        if answer.candidates.count > 1 { completion = answer }
        return true
    }

    /// How the innermost function is called whose arguments the cursor is among.
    var hint: String? {
        guard !signatures.isEmpty, buffer.cursor <= 4096 else { return nil }
        let before = Array(buffer.characters[..<buffer.cursor])
        return LuaCall.innermost(before).flatMap { signatures[$0] }
    }
}
