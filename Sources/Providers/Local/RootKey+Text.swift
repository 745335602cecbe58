internal import KeyModel
internal import PluginKit

/// What is wrong with the text of a root key, and where; says nothing of what stands there.
struct RootKeyTextError: Error, Hashable {
    /// The line, counted from 1.
    let line: Int
    /// What is wrong with it.
    let reason: String
}

/// The text form: `docs/formats/root-key.md`.
extension RootKey {
    /// The first line, without its end.
    static let heading = "keyturn root key 1"
    /// The most bytes of a text, more than five hundred generations.
    static let longestText = 65_536

    private static let lineEnd = UInt8(ascii: "\n")
    private static let keyTextCount = Base64.encodedCount(Generation.size, padding: .padded)

    /// Reads a text; every line must be whole and as it was written.
    init(parsing text: UnsafeRawBufferPointer) throws(RootKeyTextError) {
        guard text.last == Self.lineEnd else {
            throw RootKeyTextError(line: text.count { $0 == Self.lineEnd } + 1, reason: "it ends before its line does")
        }
        let lines = text.dropLast().split(separator: Self.lineEnd, omittingEmptySubsequences: false)
        guard lines[0].elementsEqual(Self.heading.utf8) else {
            throw RootKeyTextError(line: 1, reason: "it does not read \(quoted(Self.heading))")
        }
        var generations: [Generation] = []
        for (index, line) in lines.enumerated().dropFirst() {
            let generation = try Self.generation(in: line, number: index + 1)
            if let last = generations.last, last.number >= generation.number {
                throw RootKeyTextError(line: index + 1, reason: "its number is not above the one before")
            }
            generations.append(generation)
        }
        guard let key = RootKey(generations) else { throw RootKeyTextError(line: 2, reason: "there is none") }
        self = key
    }

    /// Writes the text that ``init(parsing:)`` reads.
    func text() -> SecretBytes {
        let parts = generations.map {
            (before: Bytes("\($0.number) \($0.createdAt) ".utf8), after: Bytes(" \($0.checksum)\n".utf8))
        }
        let heading = Bytes((Self.heading + "\n").utf8)
        let count = parts.reduce(heading.count) { $0 + $1.before.count + Self.keyTextCount + $1.after.count }
        return SecretBytes(count: count) { buffer in
            var offset = 0
            func append(_ bytes: Bytes) {
                UnsafeMutableRawBufferPointer(rebasing: buffer[offset...]).copyBytes(from: bytes)
                offset += bytes.count
            }
            append(heading)
            for (generation, part) in zip(generations, parts) {
                append(part.before)
                generation.material.withExposedBytes { key in
                    let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[offset...])
                    offset += Base64.encode(key, alphabet: .standard, padding: .padded, into: rest)
                }
                append(part.after)
            }
        }
    }

    private static func generation(
        in line: Slice<UnsafeRawBufferPointer>, number: Int
    ) throws(RootKeyTextError) -> Generation {
        let fields = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard fields.count == 4, fields[2].count == keyTextCount, fields[3].count == 16 else {
            throw RootKeyTextError(line: number, reason: "it is no generation")
        }
        let count = String(decoding: fields[0], as: UTF8.self)
        guard let generation = UInt32(count), numbers.contains(generation), String(generation) == count else {
            throw RootKeyTextError(line: number, reason: "it does not begin with a number")
        }
        guard let time = try? Timestamp(String(decoding: fields[1], as: UTF8.self)) else {
            throw RootKeyTextError(line: number, reason: "its second field is no time")
        }
        guard let secret = key(in: UnsafeRawBufferPointer(rebasing: fields[2])) else {
            throw RootKeyTextError(line: number, reason: "its third field is no key")
        }
        guard let result = Generation(number: generation, createdAt: time, secret: secret),
            fields[3].elementsEqual(result.checksum.utf8)
        else {
            throw RootKeyTextError(line: number, reason: "its checksum does not fit it")
        }
        return result
    }

    /// Reads the 32 bytes that a field stands for; a broken one may stand for up to 35, so there is room for as many.
    private static func key(in text: UnsafeRawBufferPointer) -> SecretBytes? {
        var count: Int?
        let bytes = SecretBytes(count: Base64.decodedLimit(keyTextCount)) { memory in
            count = Base64.decode(text, alphabet: .standard, padding: .padded, into: memory)
        }
        guard count == Generation.size else { return nil }
        return bytes.withExposedBytes { SecretBytes(copying: UnsafeRawBufferPointer(rebasing: $0[..<Generation.size])) }
    }
}
