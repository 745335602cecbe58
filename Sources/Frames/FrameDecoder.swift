/// Reads the value of a frame; every valid encoding of the subset is read, not only the shortest.
package struct FrameDecoder: Sendable {
    /// What may be read.
    package let limits: FrameLimits

    /// Makes a decoder.
    package init(limits: FrameLimits = FrameLimits()) { self.limits = limits }

    /// Reads the bytes of one frame, without its length.
    ///
    /// Memory grows with the bytes that are there, never with a count that they claim.
    ///
    /// - Throws: ``FrameError`` with `dataTooLarge`, `dataTooDeep`, `dataTooMany`, `dataMalformed` or `dataTruncated`.
    package func value(_ bytes: some RandomAccessCollection<UInt8>) throws(FrameError) -> FrameValue {
        guard bytes.count <= limits.frameBytes else { throw frameTooLarge(bytes.count, limits) }
        var parser = Parser(bytes: Array(bytes), limits: limits)
        let value = try parser.value(depth: 0)
        guard parser.remaining == 0 else {
            throw FrameError(.dataMalformed, "cannot read a frame: \(parser.remaining) bytes follow its value")
        }
        return value
    }
}

func frameTooLarge(_ length: Int, _ limits: FrameLimits) -> FrameError {
    FrameError(.dataTooLarge, "cannot read a frame of \(length) bytes: the limit is \(limits.frameBytes)")
}

/// A cursor over the bytes of one frame.
private struct Parser {
    let bytes: [UInt8]
    let limits: FrameLimits
    var position = 0
    var nodes = 0

    init(bytes: [UInt8], limits: FrameLimits) {
        self.bytes = bytes
        self.limits = limits
    }

    var remaining: Int { bytes.count - position }

    mutating func value(depth: Int) throws(FrameError) -> FrameValue {
        nodes += 1
        guard nodes <= limits.nodes else {
            throw FrameError(.dataTooMany, "cannot read a frame of more than \(limits.nodes) values")
        }
        let mark = try byte()
        switch mark {
        case 0x00...0x7F, 0xE0...0xFF: return .integer(Int64(Int8(bitPattern: mark)))
        case 0x80...0x8F: return try map(Int(mark & 0x0F), depth)
        case 0x90...0x9F: return try array(Int(mark & 0x0F), depth)
        case 0xA0...0xBF: return .string(try text(Int(mark & 0x1F)))
        case 0xC0: return .null
        case 0xC2: return .bool(false)
        case 0xC3: return .bool(true)
        case 0xC4...0xC6: return .binary(Array(try take(count(1 << (mark - 0xC4)))))
        case 0xCA...0xD3: return try number(mark)
        case 0xD9...0xDB: return .string(try text(count(1 << (mark - 0xD9))))
        case 0xDC, 0xDD: return try array(count(mark == 0xDC ? 2 : 4), depth)
        case 0xDE, 0xDF: return try map(count(mark == 0xDE ? 2 : 4), depth)
        default: throw malformed("\(hex(mark)) begins no value of the subset")
        }
    }

    private mutating func number(_ mark: UInt8) throws(FrameError) -> FrameValue {
        switch mark {
        case 0xCA: return .double(Double(Float(bitPattern: UInt32(try bits(4)))))
        case 0xCB: return .double(Double(bitPattern: try bits(8)))
        case 0xCC...0xCF:
            guard let number = Int64(exactly: try bits(1 << (mark - 0xCC))) else {
                throw malformed("a whole number is above 2^63-1")
            }
            return .integer(number)
        default:
            let size = 1 << Int(mark - 0xD0)
            let shift = Int64(64 - 8 * size)
            return .integer((Int64(bitPattern: try bits(size)) << shift) >> shift)
        }
    }

    private mutating func array(_ count: Int, _ depth: Int) throws(FrameError) -> FrameValue {
        try enter(depth, leastBytes: count)
        var elements: [FrameValue] = []
        for _ in 0..<count { elements.append(try value(depth: depth + 1)) }
        return .array(elements)
    }

    private mutating func map(_ count: Int, _ depth: Int) throws(FrameError) -> FrameValue {
        try enter(depth, leastBytes: 2 * count)
        var entries: [String: FrameValue] = [:]
        for _ in 0..<count {
            let name = try self.name()
            let element = try value(depth: depth + 1)
            guard entries.updateValue(element, forKey: name) == nil else {
                throw malformed("a map holds one name twice")
            }
        }
        return .map(entries)
    }

    private mutating func name() throws(FrameError) -> String {
        let mark = try byte()
        switch mark {
        case 0xA0...0xBF: return try text(Int(mark & 0x1F))
        case 0xD9...0xDB: return try text(count(1 << (mark - 0xD9)))
        default: throw malformed("a map has a name that is no text")
        }
    }

    /// Refuses a container that is too deep, or that claims more elements than bytes are left.
    private func enter(_ depth: Int, leastBytes: Int) throws(FrameError) {
        guard depth < limits.depth else {
            throw FrameError(.dataTooDeep, "cannot read a value nested more than \(limits.depth) levels deep")
        }
        guard leastBytes <= remaining else { throw truncated() }
    }

    private mutating func text(_ count: Int) throws(FrameError) -> String {
        guard let text = String(validating: try take(count), as: UTF8.self) else {
            throw malformed("a text is not valid UTF-8")
        }
        return text
    }

    private mutating func count(_ size: Int) throws(FrameError) -> Int { Int(try bits(size)) }

    private mutating func bits(_ size: Int) throws(FrameError) -> UInt64 {
        try take(size).reduce(0) { $0 << 8 | UInt64($1) }
    }

    private mutating func byte() throws(FrameError) -> UInt8 {
        guard position < bytes.count else { throw truncated() }
        defer { position += 1 }
        return bytes[position]
    }

    private mutating func take(_ count: Int) throws(FrameError) -> ArraySlice<UInt8> {
        guard count <= remaining else { throw truncated() }
        defer { position += count }
        return bytes[position..<position + count]
    }

    private func malformed(_ why: String) -> FrameError {
        FrameError(.dataMalformed, "cannot read a frame: at byte \(position), \(why)")
    }

    private func truncated() -> FrameError {
        FrameError(.dataTruncated, "cannot read a frame: it ends inside a value")
    }

    private func hex(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return "0x" + (digits.utf8.count < 2 ? "0" : "") + digits
    }
}
