package import ControlStore
package import KeyModel

/// What the destruction of key versions would do and what stands against it.
package struct DestructionReport: Hashable, Codable, Sendable {
    /// A version.
    package struct Version: Hashable, Codable, Sendable {
        /// Its id.
        package let key: String
        /// Its state.
        package let state: String
        /// When it stopped sealing.
        package let deactivatedAt: String?
        /// When a run proved that nothing lies under it.
        package let retiredAt: String?
        /// Values in the database that lie under it.
        package let liveValues: Int64
        /// The backups that would become unreadable.
        package let neededBy: [Int64]
        /// The backups that hold a wrapped copy of it.
        package let wrappedIn: [Int64]
    }

    /// The keyring.
    package let keyring: String
    /// The versions.
    package let versions: [Version]
    /// What stands against it, in words; empty where nothing does.
    package let obstacles: [String]
    /// Where copies may remain that nobody here can erase.
    package let remains: [String]
    /// The tables that nobody could look through and that were accepted as they are.
    package let accepted: [String]
}

/// The four conditions of a destruction; pure, and asked again right before anything is erased.
package struct DestructionRules: Sendable {
    /// What the conditions are held against.
    package struct Facts: Sendable {
        /// The keyring.
        package var ring: Keyring
        /// What a full scan of the database found, `where` ignored.
        package var live: Examination
        /// The versions that have wrapped for others by a served KMS v2 socket.
        package var served: Set<KeyID>
        /// Every backup whose files may still be there.
        package var backups: [BackupRecord]
        /// The run that is open.
        package var openRun: Int64?
        /// How far back the log archive reaches.
        package var pitr: Duration?
        /// How long backups live that are made elsewhere; nil where nobody has said.
        package var externalRetention: Duration?
        /// Tables that may stay unread.
        package var accepted: [String]
        /// The time.
        package var now: Timestamp

        /// Gathers facts.
        package init(
            ring: Keyring, live: Examination, served: Set<KeyID> = [], backups: [BackupRecord], openRun: Int64?,
            pitr: Duration?,
            externalRetention: Duration?, accepted: [String], now: Timestamp
        ) {
            self.ring = ring
            self.live = live
            self.served = served
            self.backups = backups
            self.openRun = openRun
            self.pitr = pitr
            self.externalRetention = externalRetention
            self.accepted = accepted
            self.now = now
        }
    }

    /// The word by which somebody accepts that what was wrapped for others cannot be looked through.
    package static let servedPlace = "kms-v2"

    /// Added to what is only declared, since clocks and jobs are late.
    package static let margin = Duration.seconds(86_400)

    /// Holds the conditions against the facts.
    ///
    /// - Returns: What would happen, with everything that stands against it.
    package static func report(on keys: [KeyID], _ facts: Facts, remains: [String]) -> DestructionReport {
        var obstacles: [String] = []
        if let run = facts.openRun { obstacles.append("run \(run) is open") }
        if keys.isEmpty { obstacles.append("keyring \"\(facts.ring.name)\" has no retired key") }
        if facts.externalRetention == nil {
            obstacles.append(
                "nobody has said how long backups live that are made elsewhere (external_backup_retention)")
        }
        for (column, count) in facts.live.unknown.sorted(by: { $0.key < $1.key }) {
            obstacles.append(
                "\(column) holds \(count) values of unknown ciphertext; declare it: column \"\(column)\" { keyring = \"…\" }"
            )
        }
        if facts.live.unopenable > 0 {
            obstacles.append("\(facts.live.unopenable) values open under no key, and may need one of these")
        }
        for place in facts.live.unread where !facts.accepted.contains(place) {
            obstacles.append("\(place) cannot be looked through, so values under the key may be there")
        }
        let versions = keys.map { key in version(key, facts, &obstacles) }
        return DestructionReport(
            keyring: facts.ring.name.description, versions: versions, obstacles: obstacles, remains: remains,
            accepted: facts.accepted)
    }

    private static func version(
        _ key: KeyID, _ facts: Facts, _ obstacles: inout [String]
    ) -> DestructionReport.Version {
        let found = facts.ring[key]
        let values = facts.live.values(under: key.description)
        let needing = facts.backups.filter { $0.dataKeys.contains(key) }.map(\.id).sorted()
        if let found {
            obstacles += self.obstacles(to: found, facts)
        } else {
            obstacles.append("keyring \"\(facts.ring.name)\" has no key \(key)")
        }
        if facts.served.contains(key), !facts.accepted.contains(servedPlace) {
            obstacles.append(
                "key \(key) has wrapped for others (\(servedPlace)), which cannot be looked through, so what they keep may need it"
            )
        }
        if values > 0 { obstacles.append("\(values) live values lie under key \(key)") }
        if !needing.isEmpty {
            let ids = needing.map(String.init).joined(separator: ", ")
            obstacles.append(needing.count == 1 ? "backup \(ids) needs key \(key)" : "backups \(ids) need key \(key)")
        }
        return DestructionReport.Version(
            key: key.description, state: found?.state.rawValue ?? "unknown",
            deactivatedAt: found?.deactivatedAt?.description, retiredAt: found?.retiredAt?.description,
            liveValues: values, neededBy: needing,
            wrappedIn: facts.backups.filter { $0.wrappedKeys.contains(key) }.map(\.id).sorted())
    }

    private static func obstacles(to version: KeyVersion, _ facts: Facts) -> [String] {
        guard version.state == .deactivated || version.state == .compromised else {
            return ["key \(version.id) is \(version.state.rawValue)"]
        }
        guard let retired = version.retiredAt else {
            return ["key \(version.id) is not retired: no run has proved that nothing lies under it"]
        }
        var obstacles: [String] = []
        if let keep = facts.ring.policy.keep {
            let end = retired.advanced(by: keep)
            if facts.now < end { obstacles.append("key \(version.id) must be kept until \(end)") }
        }
        let outside = max(facts.pitr ?? .zero, facts.externalRetention ?? .zero)
        if outside > .zero {
            let end = retired.advanced(by: outside + margin)
            if facts.now < end {
                obstacles.append("backups or logs kept elsewhere may need key \(version.id) until \(end)")
            }
        }
        return obstacles
    }
}
