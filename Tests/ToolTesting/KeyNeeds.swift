/// A model of who needs which key: held against whatever ends keys, in whatever order things are done.
package struct KeyNeeds {
    /// The key that each row's value lies under.
    package var rows: [Int: String] = [:]
    /// The keys that the values in each backup lie under.
    package var backups: [Int64: Set<String>] = [:]
    /// The keys that are gone.
    package private(set) var gone: Set<String> = []
    /// How many destructions were asked for or tried.
    package private(set) var attempted = 0
    /// How many of those were refused.
    package private(set) var refused = 0
    /// How many of those went ahead.
    package private(set) var permitted = 0

    /// Makes a model of nothing.
    package init() {}

    /// Whether a row or a backup needs a key.
    package func isNeeded(_ key: String) -> Bool {
        rows.values.contains(key) || backups.values.contains { $0.contains(key) }
    }

    /// Takes note of a destruction that was refused.
    package mutating func refuse() {
        attempted += 1
        refused += 1
    }

    /// Takes note of a destruction that went ahead.
    ///
    /// - Returns: What it must not have done, in words; empty where all is well.
    package mutating func permit(_ keys: [String]) -> [String] {
        attempted += 1
        permitted += 1
        gone.formUnion(keys)
        return keys.flatMap { key in
            rows.filter { $0.value == key }.map { "row \($0.key) needed key \(key)" }
                + backups.filter { $0.value.contains(key) }.map { "backup \($0.key) needed key \(key)" }
        }
    }

    /// The counts, in words.
    package var summary: String {
        "\(attempted) destructions attempted, \(refused) refused, \(permitted) permitted"
    }
}
