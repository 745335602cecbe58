/// A walk through the inputs of before.
struct HistoryWalk: Sendable {
    /// The input that was being typed when the walk began, and whether any of it was pasted.
    let origin: EditBuffer
    let wasPasted: Bool
    /// What the inputs to stop at begin with.
    let prefix: String
    /// Where it has come to; the number of entries for the input of its beginning.
    var place: Int
}

/// A search in the inputs of before.
struct HistorySearch: Sendable {
    /// The input before the search.
    let origin: EditBuffer
    let wasPasted: Bool
    /// What is looked for.
    var query = ""
    /// Where it was found; nil while nothing is looked for or where it is nowhere.
    var place: Int?
    /// Whether nothing holds it.
    var hasFailed = false
}

/// An end of the history.
enum HistoryEnd: Sendable {
    case oldest, newest
}

extension LineEditor {
    mutating func up() -> Outcome {
        guard buffer.isInFirstLine || walk != nil else {
            buffer.moveByLine(-1)
            return .editing
        }
        var walk = currentWalk
        let found = history.previous(before: walk.place, beginningWith: walk.prefix, otherThan: buffer.text)
        guard let found else { return .refused }
        walk.place = found
        return show(walk)
    }

    mutating func down() -> Outcome {
        guard var walk else {
            guard !buffer.isInLastLine else { return .refused }
            buffer.moveByLine(1)
            return .editing
        }
        walk.place =
            history.next(after: walk.place, beginningWith: walk.prefix, otherThan: buffer.text)
            ?? history.entries.count
        return show(walk)
    }

    mutating func toHistory(_ end: HistoryEnd) -> Outcome {
        guard !history.entries.isEmpty else { return .refused }
        var walk = currentWalk
        walk.place = end == .oldest ? 0 : history.entries.count
        return show(walk)
    }

    private var currentWalk: HistoryWalk {
        walk
            ?? HistoryWalk(
                origin: buffer, wasPasted: hasPastedText, prefix: buffer.textBeforeCursor, place: history.entries.count)
    }

    private mutating func show(_ walk: HistoryWalk) -> Outcome {
        self.walk = walk
        undo.record(buffer, before: .other)
        guard walk.place < history.entries.count else {
            buffer = walk.origin
            hasPastedText = walk.wasPasted
            self.walk = nil
            return .editing
        }
        buffer = EditBuffer(history.entries[walk.place])
        hasPastedText = false
        return .editing
    }

    mutating func beginSearch() {
        search = HistorySearch(origin: buffer, wasPasted: hasPastedText)
    }

    /// Takes a key during a search; nil where the search ends and the key means what it always means.
    mutating func searching(_ key: Key) -> Outcome? {
        guard var search else { return nil }
        switch key {
        case .text(let text): search.query += text
        case .backspace: search.query = String(search.query.dropLast())
        case .control("r"): return seek(from: (search.place ?? history.entries.count) - 1, isBackward: true)
        case .control("s"): return seek(from: (search.place ?? history.entries.count) + 1, isBackward: false)
        case .control("g"), .control("c"):
            buffer = search.origin
            hasPastedText = search.wasPasted
            self.search = nil
            return .editing
        case .escape:
            self.search = nil
            return .editing
        default:
            self.search = nil
            return nil
        }
        search.place = nil
        search.hasFailed = false
        self.search = search
        guard !search.query.isEmpty else {
            buffer = search.origin
            return .editing
        }
        return seek(from: history.entries.count - 1, isBackward: true)
    }

    /// Looks on for the text; an input that is shown already is passed over.
    private mutating func seek(from start: Int, isBackward: Bool) -> Outcome {
        guard var search, !search.query.isEmpty else { return .refused }
        var place = history.place(holding: search.query, from: start, isBackward: isBackward)
        while let found = place, search.place != nil, history.entries[found] == buffer.text {
            place = history.place(
                holding: search.query, from: found + (isBackward ? -1 : 1), isBackward: isBackward)
        }
        search.hasFailed = place == nil
        search.place = place ?? search.place
        self.search = search
        guard let place else { return .refused }
        buffer = EditBuffer(history.entries[place])
        hasPastedText = false
        if let found = history.entries[place].range(of: search.query) {
            buffer.move(
                to: history.entries[place].distance(from: history.entries[place].startIndex, to: found.lowerBound))
        }
        return .editing
    }
}

extension String {
    /// Where a text stands first.
    fileprivate func range(of text: String) -> Range<Index>? { firstRange(of: text) }
}
