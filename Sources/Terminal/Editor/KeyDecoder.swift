/// Turns what a terminal sends into keys; takes any bytes in any pieces.
///
/// Text between the marks of a bracketed paste, and what comes with its end mark in one go, is pasted text: it is handed out whole
/// and nothing in it is a key. A paste that brings an end mark of its own can therefore run nothing.
package struct KeyDecoder: Sendable {
    private enum State {
        case ground
        case character([UInt8], wanted: Int)
        case escape
        case sequence([UInt8])
        case function
        case paste
        /// After the end mark, until the terminal falls silent.
        case pasteTail
    }

    /// The most bytes of one paste.
    package static let pasteLimit = 4 << 20
    /// Sequences of keys are shorter than this; what is longer is no key.
    private static let sequenceLimit = 32
    private static let pasteEnd = Array("\u{1B}[201~".utf8)

    private var state = State.ground
    private var pasted: [UInt8] = []
    private var isPasteTooLong = false

    /// Makes a decoder at rest.
    package init() {}

    /// Whether silence would mean something: an Escape alone, the end of a paste.
    package var awaitsSilence: Bool {
        switch state {
        case .escape, .pasteTail, .sequence, .function, .character: true
        case .ground, .paste: false
        }
    }

    /// Takes bytes and hands out the keys that they complete.
    package mutating func take(_ bytes: some Sequence<UInt8>) -> [Key] {
        var keys: [Key] = []
        for byte in bytes { take(byte, into: &keys) }
        return keys
    }

    /// Takes notice that the terminal fell silent, and hands out what was waiting for that.
    package mutating func fallSilent() -> [Key] {
        defer { if case .paste = state {} else { state = .ground } }
        switch state {
        case .ground, .paste: return []
        case .escape: return [.escape]
        case .character: return [.text("\u{FFFD}")]
        case .sequence, .function: return [.unknown]
        case .pasteTail: return [finishPaste()]
        }
    }

    private mutating func take(_ byte: UInt8, into keys: inout [Key]) {
        switch state {
        case .ground: takeFirst(byte, into: &keys)
        case .character(let bytes, let wanted): takeCharacter(byte, after: bytes, wanted: wanted, into: &keys)
        case .escape: takeEscaped(byte, into: &keys)
        case .sequence(let bytes): takeSequence(byte, after: bytes, into: &keys)
        case .function:
            state = .ground
            keys.append(Self.functionKey(byte))
        case .paste: takePasted(byte)
        case .pasteTail: append(byte)
        }
    }

    private mutating func takeFirst(_ byte: UInt8, into keys: inout [Key]) {
        switch byte {
        case 0x1B: state = .escape
        case 0x0D, 0x0A: keys.append(.enter)
        case 0x09: keys.append(.tab)
        case 0x08, 0x7F: keys.append(.backspace)
        case 0x00..<0x20: keys.append(.control(Character(Unicode.Scalar(byte + 0x40)).lowercasedASCII))
        case 0x20..<0x7F: keys.append(.text(String(UnicodeScalar(byte))))
        case 0xC2..<0xE0: state = .character([byte], wanted: 2)
        case 0xE0..<0xF0: state = .character([byte], wanted: 3)
        case 0xF0..<0xF5: state = .character([byte], wanted: 4)
        default: keys.append(.text("\u{FFFD}"))
        }
    }

    private mutating func takeCharacter(_ byte: UInt8, after bytes: [UInt8], wanted: Int, into keys: inout [Key]) {
        guard byte & 0xC0 == 0x80 else {
            state = .ground
            keys.append(.text("\u{FFFD}"))
            return takeFirst(byte, into: &keys)
        }
        let bytes = bytes + [byte]
        guard bytes.count == wanted else {
            state = .character(bytes, wanted: wanted)
            return
        }
        state = .ground
        keys.append(.text(String(validating: bytes, as: UTF8.self) ?? "\u{FFFD}"))
    }

    private mutating func takeEscaped(_ byte: UInt8, into keys: inout [Key]) {
        state = .ground
        switch byte {
        case UInt8(ascii: "["): state = .sequence([])
        case UInt8(ascii: "O"): state = .function
        case 0x1B:
            keys.append(.escape)
            state = .escape
        case 0x0D, 0x0A: keys.append(.altEnter)
        case 0x08, 0x7F: keys.append(.altBackspace)
        case 0x20..<0x7F: keys.append(.alt(Character(Unicode.Scalar(byte))))
        case 0x00..<0x20: takeFirst(byte, into: &keys)
        default:
            keys.append(.escape)
            takeFirst(byte, into: &keys)
        }
    }

    private mutating func takeSequence(_ byte: UInt8, after bytes: [UInt8], into keys: inout [Key]) {
        switch byte {
        case 0x20..<0x40 where bytes.count < Self.sequenceLimit: state = .sequence(bytes + [byte])
        case 0x40..<0x7F:
            state = .ground
            if byte == UInt8(ascii: "~"), bytes == Array("200".utf8) {
                pasted = []
                isPasteTooLong = false
                state = .paste
            } else if byte != UInt8(ascii: "~") || bytes != Array("201".utf8) {
                keys.append(Self.key(parameters: bytes, final: byte))
            }
        default:
            state = .ground
            keys.append(.unknown)
            if byte == 0x1B || byte == 0x03 { takeFirst(byte, into: &keys) }
        }
    }

    private mutating func takePasted(_ byte: UInt8) {
        append(byte)
        guard byte == UInt8(ascii: "~"), pasted.suffix(Self.pasteEnd.count).elementsEqual(Self.pasteEnd) else { return }
        pasted.removeLast(Self.pasteEnd.count)
        state = .pasteTail
    }

    private mutating func append(_ byte: UInt8) {
        // The tail is kept, so that the end mark is recognised behind whatever was dropped.
        if pasted.count >= Self.pasteLimit {
            isPasteTooLong = true
            pasted = Array(pasted.suffix(Self.pasteEnd.count))
        }
        pasted.append(byte)
    }

    private mutating func finishPaste() -> Key {
        defer { pasted = [] }
        guard !isPasteTooLong else { return .pasteTooLong }
        // Where the paste brought an end mark, the terminal's own came behind it.
        return .paste(
            String(decoding: pasted, as: UTF8.self).replacing(String(decoding: Self.pasteEnd, as: UTF8.self), with: ""))
    }

    private static func functionKey(_ byte: UInt8) -> Key { key(parameters: [], final: byte) }

    private static func key(parameters: [UInt8], final: UInt8) -> Key {
        let numbers = parameters.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
            .map { Int(String(decoding: $0, as: UTF8.self)) ?? 0 }
        let isModified = numbers.count > 1 && [3, 5, 7].contains(numbers[1])
        switch final {
        case UInt8(ascii: "A"): return .up
        case UInt8(ascii: "B"): return .down
        case UInt8(ascii: "C"): return isModified ? .wordRight : .right
        case UInt8(ascii: "D"): return isModified ? .wordLeft : .left
        case UInt8(ascii: "H"): return .home
        case UInt8(ascii: "F"): return .end
        case UInt8(ascii: "M"): return .enter
        case UInt8(ascii: "Z"): return .backTab
        case UInt8(ascii: "~"): return editingKey(numbers.first ?? 0)
        default: return .unknown
        }
    }

    private static func editingKey(_ number: Int) -> Key {
        switch number {
        case 1, 7: .home
        case 3: .delete
        case 4, 8: .end
        case 5: .pageUp
        case 6: .pageDown
        default: .unknown
        }
    }
}

extension Character {
    /// The letter in lower case; anything else as it is.
    fileprivate var lowercasedASCII: Character {
        guard let value = asciiValue, (0x41...0x5A).contains(value) else { return self }
        return Character(Unicode.Scalar(value + 0x20))
    }
}
