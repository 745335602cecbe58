package import ControlStore
package import KeyModel

/// Counts seals under a version in blocks that are reserved ahead of use, so that a crash never undercounts.
package actor SealMeter {
    private let control: ControlStore
    private let key: KeyID
    private let limit: Int64
    private let block: Int64
    private var left: Int64 = 0

    /// Counts for a version.
    ///
    /// - Parameters:
    ///   - control: Where it is counted.
    ///   - key: The version.
    ///   - limit: The most seals that its core allows.
    ///   - expected: About how many make a rotation due, so that blocks stay small beside it; nil for no such number.
    package init(control: ControlStore, key: KeyID, limit: UInt64, expected: UInt64?) {
        self.control = control
        self.key = key
        self.limit = Int64(clamping: limit)
        block = min(65_536, max(1, Int64(clamping: expected ?? .max) / 16))
    }

    /// Makes sure that `count` more seals are reserved.
    ///
    /// - Throws: ``RotationError`` with `keySealsExhausted`.
    package func take(_ count: Int) async throws {
        let wanted = Int64(count)
        if left < wanted {
            let missing = wanted - left
            left += try await control.write { [key, limit, block] session in
                let used = try session.sealsReserved(of: key)
                let room = limit - used
                guard room >= missing else {
                    throw RotationError(
                        .keySealsExhausted, "key \(key) has sealed \(used) values, its limit is \(limit)",
                        hint: "Rotate the keyring."
                    )
                }
                let taken = min(room, max(block, missing))
                _ = try session.reserveSeals(taken, of: key)
                return taken
            }
        }
        left -= wanted
    }

    /// Gives back what was reserved and not used.
    ///
    /// Tried once: what is not given back counts as used, and what were given back twice would not count at all.
    package func giveBack() async {
        let unused = left
        left = 0
        guard unused > 0 else { return }
        await Patience.$current.withValue(nil) {
            _ = try? await control.write { [key] in try $0.reserveSeals(-unused, of: key) }
        }
    }
}
