package import ControlStore
package import KeyModel

/// Counts seals under a version in blocks that are reserved ahead of use, so that a crash never undercounts.
package actor SealMeter {
    private let control: ControlStore
    private let key: KeyID
    private let limit: UInt64
    private var left: Int64 = 0

    /// How many seals are reserved at once.
    private static let block: Int64 = 65_536

    /// Counts for a version whose core or policy allows this many seals.
    package init(control: ControlStore, key: KeyID, limit: UInt64) {
        self.control = control
        self.key = key
        self.limit = limit
    }

    /// Makes sure that `count` more seals are reserved.
    ///
    /// - Throws: ``RotationError`` with `keySealsExhausted`.
    package func take(_ count: Int) async throws {
        let wanted = Int64(count)
        if left < wanted {
            let block = max(Self.block, wanted)
            let key = self.key
            let reserved = try await control.write { try $0.reserveSeals(block, of: key) }
            guard UInt64(clamping: reserved - block) < limit else {
                throw RotationError(
                    .keySealsExhausted, "key \(key) has sealed \(reserved - block) values, its limit is \(limit)",
                    hint: "Rotate the keyring."
                )
            }
            left += block
        }
        left -= wanted
    }
}
