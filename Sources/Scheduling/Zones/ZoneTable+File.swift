/// Reading TZif, version 2 and later (RFC 8536, section 3).
extension ZoneTable {
    /// No zone's file is nearly as large; the largest real ones have 4 KiB.
    static let largestFile = 256 << 10

    /// Reads a file; the block of version 1 is passed over.
    init(file: [UInt8]) throws(ZoneFault) {
        guard file.count <= Self.largestFile else { throw ZoneFault(reason: "it is larger than 256 KiB") }
        var reader = BinaryReader(file)
        let old = try Counts(&reader)
        try reader.skip(old.length(timeSize: 4))
        let counts = try Counts(&reader)
        guard counts.leaps == 0 else { throw ZoneFault(reason: "it counts leap seconds") }
        let transitions = try Self.transitions(&reader, counts)
        let footer = try Self.footer(reader.rest)
        let rule: ZoneRule? = if footer.isEmpty { nil } else { try ZoneRule(parsing: footer) }
        self.init(initialOffset: transitions.initialOffset, transitions: transitions.list, rule: rule)
    }

    private typealias Transitions = (initialOffset: Int, list: [(at: Int, offset: Int)])

    private static func transitions(_ reader: inout BinaryReader, _ counts: Counts) throws(ZoneFault) -> Transitions {
        var times: [Int] = []
        times.reserveCapacity(counts.times)
        for _ in 0..<counts.times { times.append(try reader.integer(bytes: 8)) }
        let kinds = try reader.take(counts.times)
        var offsets: [Int] = []
        for _ in 0..<counts.kinds { offsets.append(try kind(&reader, counts)) }
        let abbreviations = try reader.take(counts.characters)
        guard abbreviations.last == 0 else { throw ZoneFault(reason: "its abbreviations do not end") }
        for indicator in try reader.take(counts.standards + counts.universals) where indicator > 1 {
            throw ZoneFault(reason: "an indicator is neither 0 nor 1")
        }
        guard zip(times, times.dropFirst()).allSatisfy(<), times.allSatisfy({ abs($0) <= 1 << 59 }) else {
            throw ZoneFault(reason: "its transitions are out of order")
        }
        guard kinds.allSatisfy({ Int($0) < offsets.count }) else {
            throw ZoneFault(reason: "a transition has no type")
        }
        return (offsets[0], zip(times, kinds).map { (at: $0, offset: offsets[Int($1)]) })
    }

    /// A local time type record: the offset, whether it is daylight saving, where its abbreviation stands.
    private static func kind(_ reader: inout BinaryReader, _ counts: Counts) throws(ZoneFault) -> Int {
        let offset = try reader.integer(bytes: 4)
        let isDaylight = try reader.integer(bytes: 1)
        let abbreviation = try reader.integer(bytes: 1) & 0xFF
        guard abs(offset) <= widestOffset, (0...1).contains(isDaylight), abbreviation < counts.characters else {
            throw ZoneFault(reason: "a type is out of range")
        }
        return offset
    }

    /// What stands between the two line ends after the data.
    private static func footer(_ rest: ArraySlice<UInt8>) throws(ZoneFault) -> ArraySlice<UInt8> {
        let newline = UInt8(ascii: "\n")
        guard rest.count >= 2, rest.first == newline, rest.last == newline else {
            throw ZoneFault(reason: "its footer is missing")
        }
        return rest.dropFirst().dropLast()
    }
}

/// The six counts of a header.
private struct Counts {
    let universals: Int
    let standards: Int
    let leaps: Int
    let times: Int
    let kinds: Int
    let characters: Int

    init(_ reader: inout BinaryReader) throws(ZoneFault) {
        guard try reader.take(4).elementsEqual("TZif".utf8) else { throw ZoneFault(reason: "it is no TZif file") }
        let version = try reader.integer(bytes: 1)
        guard (0x32...0x34).contains(version) else { throw ZoneFault(reason: "its version is not 2, 3 or 4") }
        try reader.skip(15)
        universals = try reader.count()
        standards = try reader.count()
        leaps = try reader.count()
        times = try reader.count()
        kinds = try reader.count()
        characters = try reader.count()
        guard (1...256).contains(kinds), characters > 0, [0, kinds].contains(universals),
            [0, kinds].contains(standards)
        else { throw ZoneFault(reason: "its counts contradict each other") }
    }

    /// The bytes of the data block that follows.
    func length(timeSize: Int) -> Int {
        times * (timeSize + 1) + kinds * 6 + characters + leaps * (timeSize + 4) + standards + universals
    }
}

/// Takes big-endian numbers off the front of a file.
private struct BinaryReader {
    private(set) var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    mutating func take(_ count: Int) throws(ZoneFault) -> ArraySlice<UInt8> {
        guard (0...rest.count).contains(count) else { throw ZoneFault(reason: "it ends too early") }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    mutating func skip(_ count: Int) throws(ZoneFault) { _ = try take(count) }

    /// A signed number of 1 to 8 bytes.
    mutating func integer(bytes count: Int) throws(ZoneFault) -> Int {
        let bytes = try take(count)
        let bits = bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let unused = 64 - count * 8
        return Int(Int64(bitPattern: bits << unused) >> unused)
    }

    /// A number that counts things of at least one byte each, so that none can be larger than the file.
    mutating func count() throws(ZoneFault) -> Int {
        let value = try integer(bytes: 4)
        guard (0...ZoneTable.largestFile).contains(value) else { throw ZoneFault(reason: "it ends too early") }
        return value
    }
}
