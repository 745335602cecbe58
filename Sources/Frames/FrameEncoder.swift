/// Writes values as frames: a length of four bytes, big-endian, and one MessagePack value in its shortest form.
package struct FrameEncoder: Sendable {
    /// What may be written.
    package let limits: FrameLimits

    /// Makes an encoder.
    package init(limits: FrameLimits = FrameLimits()) { self.limits = limits }

    /// Writes one frame.
    ///
    /// - Throws: ``FrameError`` with `callerValueTooLarge` for what the peer would not read.
    package func frame(_ value: FrameValue) throws(FrameError) -> [UInt8] {
        var writer = Writer(limits: limits)
        writer.bytes = [0, 0, 0, 0]
        try writer.write(value, depth: 0)
        let length = writer.bytes.count - 4
        guard length <= limits.frameBytes else {
            throw FrameError(
                .callerValueTooLarge, "cannot write a frame of \(length) bytes: the limit is \(limits.frameBytes)")
        }
        for index in 0..<4 { writer.bytes[index] = UInt8(truncatingIfNeeded: length >> (24 - 8 * index)) }
        return writer.bytes
    }
}

/// The bytes written so far and the values counted.
private struct Writer {
    let limits: FrameLimits
    var bytes: [UInt8] = []
    var nodes = 0

    init(limits: FrameLimits) { self.limits = limits }

    mutating func write(_ value: FrameValue, depth: Int) throws(FrameError) {
        nodes += 1
        guard nodes <= limits.nodes else {
            throw FrameError(.callerValueTooLarge, "cannot write a frame of more than \(limits.nodes) values")
        }
        switch value {
        case .null: bytes.append(0xC0)
        case .bool(let truth): bytes.append(truth ? 0xC3 : 0xC2)
        case .integer(let number): write(number)
        case .double(let number):
            bytes.append(0xCB)
            append(number.bitPattern, bytes: 8)
        case .string(let text): write(text)
        case .binary(let data):
            writeHead(data.count, fixed: nil, narrow: 0xC4, wide: 0xC5, widest: 0xC6)
            bytes += data
        case .array(let elements):
            try enter(depth)
            writeHead(elements.count, fixed: (0x90, 15), narrow: nil, wide: 0xDC, widest: 0xDD)
            for element in elements { try write(element, depth: depth + 1) }
        case .map(let entries):
            try enter(depth)
            writeHead(entries.count, fixed: (0x80, 15), narrow: nil, wide: 0xDE, widest: 0xDF)
            for (name, element) in entries.sorted(by: { $0.key < $1.key }) {
                write(name)
                try write(element, depth: depth + 1)
            }
        }
    }

    private func enter(_ depth: Int) throws(FrameError) {
        guard depth < limits.depth else {
            throw FrameError(.callerValueTooLarge, "cannot write a value nested more than \(limits.depth) levels deep")
        }
    }

    private mutating func write(_ text: String) {
        writeHead(text.utf8.count, fixed: (0xA0, 31), narrow: 0xD9, wide: 0xDA, widest: 0xDB)
        bytes += text.utf8
    }

    private mutating func write(_ number: Int64) {
        switch number {
        case -32...127: bytes.append(UInt8(truncatingIfNeeded: number))
        case 128...0xFF: append(0xCC, number, bytes: 1)
        case 0x100...0xFFFF: append(0xCD, number, bytes: 2)
        case 0x1_0000...0xFFFF_FFFF: append(0xCE, number, bytes: 4)
        case 0x1_0000_0000...Int64.max: append(0xCF, number, bytes: 8)
        case -0x80 ..< -32: append(0xD0, number, bytes: 1)
        case -0x8000 ..< -0x80: append(0xD1, number, bytes: 2)
        case -0x8000_0000 ..< -0x8000: append(0xD2, number, bytes: 4)
        default: append(0xD3, number, bytes: 8)
        }
    }

    /// Writes the shortest head for a count: inside the mark, or in one, two or four bytes after it.
    private mutating func writeHead(_ count: Int, fixed: (UInt8, Int)?, narrow: UInt8?, wide: UInt8, widest: UInt8) {
        if let (mark, most) = fixed, count <= most {
            bytes.append(mark | UInt8(count))
        } else if let narrow, count <= 0xFF {
            append(narrow, Int64(count), bytes: 1)
        } else if count <= 0xFFFF {
            append(wide, Int64(count), bytes: 2)
        } else {
            append(widest, Int64(count), bytes: 4)
        }
    }

    private mutating func append(_ mark: UInt8, _ number: Int64, bytes count: Int) {
        bytes.append(mark)
        append(UInt64(bitPattern: number), bytes: count)
    }

    private mutating func append(_ bits: UInt64, bytes count: Int) {
        for shift in stride(from: 8 * (count - 1), through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift)))
        }
    }
}
