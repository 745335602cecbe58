/// The inputs of this session and those before it, the latest last.
package struct History: Sendable {
    /// The inputs.
    package private(set) var entries: [String]

    /// The most inputs that are held.
    package static let limit = 10_000

    /// Makes a history.
    package init(_ entries: [String] = []) { self.entries = entries.suffix(Self.limit) }

    /// Adds an input, unless it is empty or the same as the one before it.
    ///
    /// - Returns: Whether it was added.
    @discardableResult
    package mutating func add(_ entry: String) -> Bool {
        guard !entry.allSatisfy(\.isWhitespace), entry != entries.last else { return false }
        entries.append(entry)
        if entries.count > Self.limit { entries.removeFirst(entries.count - Self.limit) }
        return true
    }

    /// Puts inputs of earlier sessions before those of this one.
    package mutating func prepend(_ earlier: [String]) {
        entries = (earlier + entries).suffix(Self.limit)
    }

    /// The place of the nearest input before a place that begins with a text and is not `current`; nil where there is none.
    func previous(before place: Int, beginningWith prefix: String, otherThan current: String) -> Int? {
        entries[..<min(max(0, place), entries.count)].lastIndex { $0.hasPrefix(prefix) && $0 != current }
    }

    /// The place of the nearest input behind a place that begins with a text and is not `current`; nil where there is none.
    func next(after place: Int, beginningWith prefix: String, otherThan current: String) -> Int? {
        guard place + 1 < entries.count else { return nil }
        return entries[(place + 1)...].firstIndex { $0.hasPrefix(prefix) && $0 != current }
    }

    /// The place of the nearest input that holds a text: at a place or before it, or behind it.
    func place(holding text: String, from place: Int, isBackward: Bool) -> Int? {
        if isBackward {
            guard place >= 0 else { return nil }
            return entries[..<min(place + 1, entries.count)].lastIndex { $0.contains(text) }
        }
        guard place < entries.count else { return nil }
        return entries[max(0, place)...].firstIndex { $0.contains(text) }
    }
}
