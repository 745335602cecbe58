internal import KeyModel
internal import PluginWire

/// Turns what a plugin writes on standard error into a bounded number of harmless lines; pure.
///
/// Lines are cut, escaped, and thinned out where they come too fast; what could be a key or a token is hidden.
package struct LineDrain: Sendable {
    /// A line and how urgent its writer said it was, 0…7 as systemd counts; 6 where it said nothing.
    package struct Line: Hashable, Sendable {
        /// The urgency.
        package let urgency: Int
        /// The text.
        package let text: String
    }

    /// The most bytes of one line that are looked at.
    package static let maximumLine = 8192
    /// The most lines that are let through in one second.
    package static let maximumRate = 100

    /// How many lines were let go.
    package private(set) var dropped = 0

    private var line: [UInt8] = []
    private var second: Int64 = 0
    private var countInSecond = 0

    /// Makes an empty drain.
    package init() {}

    /// Takes bytes as they come and gives back the lines that are whole.
    ///
    /// - Parameters:
    ///   - bytes: What was read.
    ///   - time: The time since some fixed instant.
    /// - Returns: The lines that are let through.
    package mutating func take(_ bytes: some Sequence<UInt8>, at time: Duration) -> [Line] {
        var lines: [Line] = []
        for byte in bytes {
            guard byte == UInt8(ascii: "\n") else {
                if line.count < Self.maximumLine { line.append(byte) }
                continue
            }
            if let whole = finish(at: time) { lines.append(whole) }
        }
        return lines
    }

    private mutating func finish(at time: Duration) -> Line? {
        defer { line.removeAll(keepingCapacity: true) }
        let now = time.components.seconds
        if now != second { (second, countInSecond) = (now, 0) }
        countInSecond += 1
        guard countInSecond <= Self.maximumRate else {
            dropped += 1
            return nil
        }
        return Self.parse(line)
    }

    private static func parse(_ line: [UInt8]) -> Line {
        var rest = line[...]
        var urgency = 6
        if line.count >= 3, line[0] == UInt8(ascii: "<"), line[2] == UInt8(ascii: ">"), (0x30...0x37).contains(line[1])
        {
            urgency = Int(line[1] - 0x30)
            rest = line[3...]
        }
        return Line(
            urgency: urgency, text: WireText.harmless(String(decoding: rest, as: UTF8.self), limit: 1000))
    }
}
