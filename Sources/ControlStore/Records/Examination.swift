package import KeyModel

/// What a copy of a database showed when its keyring was read and, where that was asked for, its values were opened.
package struct Examination: Hashable, Codable, Sendable {
    /// The instance that it belongs to.
    package var instance: String
    /// The nonce.
    package var nonce: String
    /// How far it is.
    package var epoch: Int64
    /// The key versions of which it holds a wrapped copy.
    package var wrappedKeys: [String]
    /// What wraps them.
    package var wrappers: [BackupRecord.Wrapper]
    /// SHA-256 over the wrapped copies.
    package var keyringSHA256: String
    /// Values by the key that opened them; empty where none were opened.
    package var usage: [String: Int64] = [:]
    /// Key versions whose canary opened.
    package var canaries = 0
    /// Values that no key in the copy opens.
    package var unopenable: Int64 = 0
    /// The first of those, in words.
    package var findings: [String] = []
    /// What tells those from any other, for the first ``mostUnopened`` of them.
    package private(set) var unopened: Set<String> = []
    /// Those of them that name a key, by that key.
    package private(set) var named: [String: Int64] = [:]
    /// Columns with ciphertext that nobody declared, with the number of such values.
    package var undeclared: [String: Int64] = [:]
    /// Those of them that no key in the copy accounts for.
    package var unknown: [String: Int64] = [:]
    /// Tables and columns that were not, or not wholly, looked through.
    package var unread: [String] = []
    /// Whether every value of the copy was looked at.
    package var isWhole = false

    /// The most values that do not open and are told from each other.
    package static let mostUnopened = 100_000

    /// Takes note of a value that no key opens, by its digest, and of the key that it names.
    package mutating func note(unopened digest: String, naming key: KeyID?) {
        if unopened.count < Self.mostUnopened { unopened.insert(digest) }
        if let key { named[key.description, default: 0] += 1 }
    }

    /// How many values do not open here that open, or are not there, in another copy.
    package func unopened(beyond other: Examination) -> Int64 {
        // Past the most that is told apart only the counts are left.
        guard unopenable <= Self.mostUnopened, other.unopenable <= Self.mostUnopened else {
            return max(0, unopenable - other.unopenable)
        }
        return Int64(unopened.subtracting(other.unopened).count)
    }

    /// Values that lie under a key.
    package func values(under key: String) -> Int64 { usage[key] ?? 0 }

    /// Makes an examination that has looked at the keyring alone.
    package init(
        instance: String, nonce: String, epoch: Int64, wrappedKeys: [String], wrappers: [BackupRecord.Wrapper],
        keyringSHA256: String
    ) {
        self.instance = instance
        self.nonce = nonce
        self.epoch = epoch
        self.wrappedKeys = wrappedKeys
        self.wrappers = wrappers
        self.keyringSHA256 = keyringSHA256
    }
}
