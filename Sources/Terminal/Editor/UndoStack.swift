/// What a text was before each change.
struct UndoStack: Sendable {
    /// What kind of change comes; equal kinds in a row are undone together.
    enum Change: Sendable {
        case typing, erasing, other
    }

    private var past: [EditBuffer] = []
    private var future: [EditBuffer] = []
    private var latest: Change?

    /// The most characters held in all.
    private static let limit = 2 << 20

    /// Keeps the text before a change.
    mutating func record(_ buffer: EditBuffer, before change: Change) {
        future = []
        defer { latest = change }
        guard change == .other || change != latest else { return }
        past.append(buffer)
        trim()
    }

    /// Ends a row of equal changes, as a movement of the cursor does.
    mutating func separate() { latest = nil }

    /// The text before the last change; nil where there is none.
    mutating func undo(_ current: EditBuffer) -> EditBuffer? {
        guard let former = past.popLast() else { return nil }
        future.append(current)
        latest = nil
        return former
    }

    /// The text that was undone last.
    mutating func redo(_ current: EditBuffer) -> EditBuffer? {
        guard let later = future.popLast() else { return nil }
        past.append(current)
        latest = nil
        return later
    }

    private mutating func trim() {
        var total = 0
        let kept = past.reversed().prefix { buffer in
            total += buffer.characters.count + 1
            return total <= Self.limit
        }
        if kept.count < past.count { past = Array(kept.reversed()) }
    }
}
