/// A stretch of time with one offset, `start` included and `end` not, in seconds since the epoch.
struct ZoneSegment: Hashable, Sendable {
    let start: Int
    let end: Int
    /// Seconds ahead of UTC.
    let offset: Int

    /// The first time on the wall of the stretch, and the first after it.
    var local: Range<Int> { start + offset..<end + offset }
}

/// The offsets of a zone as stretches of time, and how times on the wall map to instants.
struct ZoneTable: Hashable, Sendable {
    /// Further than any time that can be written, with room to add an offset.
    static let bounds = -(1 << 60)...(1 << 60)
    /// No zone is further from UTC than this (RFC 8536, section 3.2), so that a time on the wall lies within it
    /// of its instant.
    static let widestOffset = 93_600

    private let initialOffset: Int
    private let starts: [Int]
    private let offsets: [Int]
    private let rule: ZoneRule?

    /// Makes a table from transitions in ascending order, each with the offset from then on.
    init(initialOffset: Int, transitions: [(at: Int, offset: Int)], rule: ZoneRule?) {
        self.initialOffset = initialOffset
        starts = transitions.map(\.at)
        offsets = transitions.map(\.offset)
        self.rule = rule
    }

    init(fixedOffset: Int) { self.init(initialOffset: fixedOffset, transitions: [], rule: nil) }

    /// The stretch that an instant lies in.
    func segment(at instant: Int) -> ZoneSegment {
        let passed = countOfStarts(notAfter: instant)
        let start = passed == 0 ? Self.bounds.lowerBound : starts[passed - 1]
        let offset = passed == 0 ? initialOffset : offsets[passed - 1]
        guard passed == starts.count else { return ZoneSegment(start: start, end: starts[passed], offset: offset) }
        guard let rule else { return ZoneSegment(start: start, end: Self.bounds.upperBound, offset: offset) }
        let segment = rule.segment(at: instant)
        return ZoneSegment(start: max(start, segment.start), end: segment.end, offset: segment.offset)
    }

    /// The stretch before one; nil where there is none.
    func segment(before segment: ZoneSegment) -> ZoneSegment? {
        segment.start > Self.bounds.lowerBound ? self.segment(at: segment.start - 1) : nil
    }

    /// The stretch after one; nil where there is none.
    func segment(after segment: ZoneSegment) -> ZoneSegment? {
        segment.end < Self.bounds.upperBound ? self.segment(at: segment.end) : nil
    }

    /// The first instant at which the wall shows a time; nil in a gap.
    func firstInstant(showing local: Int) -> Int? {
        segments(around: local).first { $0.local.contains(local) }.map { local - $0.offset }
    }

    /// The last instant at which the wall shows a time; nil in a gap.
    func lastInstant(showing local: Int) -> Int? {
        segments(around: local).last { $0.local.contains(local) }.map { local - $0.offset }
    }

    /// The first instant after the gap that a time lies in; nil where it lies in none.
    func gapEnd(over local: Int) -> Int? {
        let segments = segments(around: local)
        return zip(segments, segments.dropFirst()).first { before, after in
            before.local.upperBound <= local && local < after.local.lowerBound
        }?.1.start
    }

    /// All stretches that could show a time.
    private func segments(around local: Int) -> [ZoneSegment] {
        var result = [segment(at: local - Self.widestOffset)]
        while let last = result.last, last.end <= local + Self.widestOffset, let next = segment(after: last) {
            result.append(next)
        }
        return result
    }

    private func countOfStarts(notAfter instant: Int) -> Int {
        var low = 0
        var high = starts.count
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] <= instant { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
