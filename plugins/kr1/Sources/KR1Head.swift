internal import KeyModel
internal import PluginKit

/// Where the parts of a KR1 value stand; the table is in `docs/formats/kr1.md`.
enum KR1Layout {
    static let magic: UInt8 = 0xF9
    static let suite: UInt8 = 0x01
    static let saltOffset = 8
    static let saltCount = 16
    /// What goes into the derivation: everything before the commitment.
    static let derivedCount = 24
    static let commitmentCount = 32
    /// Everything before the ciphertext; all of it is authenticated.
    static let headerCount = 56
    static let tagCount = 16
    static let overhead = 72
    static let maximumPlaintext = 64 * 1024 * 1024
}

/// The flags of a KR1 value.
struct KR1Flags: OptionSet {
    let rawValue: UInt8

    static let deflated = KR1Flags(rawValue: 1)
    static let deterministic = KR1Flags(rawValue: 2)
    static let text = KR1Flags(rawValue: 4)
    static let known: KR1Flags = [.deflated, .deterministic, .text]
}

/// The first eight bytes of a KR1 value.
struct KR1Head {
    let flags: KR1Flags
    let scheme: ValueContext.Scheme
    let key: KeyID

    init(flags: KR1Flags, scheme: ValueContext.Scheme, key: KeyID) {
        self.flags = flags
        self.scheme = scheme
        self.key = key
    }

    /// Reads the head of a value that is long enough to be whole; nil where it is none.
    init?(_ value: UnsafeRawBufferPointer) {
        guard value.count >= KR1Layout.overhead, value[0] == KR1Layout.magic, value[1] == KR1Layout.suite else {
            return nil
        }
        let number = UInt32(bigEndian: value.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        guard value[2] & ~KR1Flags.known.rawValue == 0, let scheme = ValueContext.Scheme(rawValue: value[3]),
            let key = KeyID(number)
        else { return nil }
        self.init(flags: KR1Flags(rawValue: value[2]), scheme: scheme, key: key)
    }

    func write(to value: UnsafeMutableRawPointer) {
        value.storeBytes(of: KR1Layout.magic, as: UInt8.self)
        value.storeBytes(of: KR1Layout.suite, toByteOffset: 1, as: UInt8.self)
        value.storeBytes(of: flags.rawValue, toByteOffset: 2, as: UInt8.self)
        value.storeBytes(of: scheme.rawValue, toByteOffset: 3, as: UInt8.self)
        value.storeBytes(of: key.rawValue.bigEndian, toByteOffset: 4, as: UInt32.self)
    }
}
