internal import KeyModel

/// The full name of one key of KMS: `arn:aws:kms:eu-central-1:111122223333:key/…`.
///
/// Only keys are named, never aliases: an alias can be pointed at another key.
package struct KeyARN: Hashable, Sendable, CustomStringConvertible {
    /// The partition.
    package let partition: Partition
    /// The region in which the key is.
    package let region: String
    /// The account that owns it: 12 digits.
    package let account: String
    /// The key's id: a UUID, or `mrk-` and 32 hexadecimal digits.
    package let id: String

    /// Whether the same key exists in several regions.
    package var isMultiRegion: Bool { id.hasPrefix("mrk-") }

    /// The name as AWS writes it.
    package var description: String { "arn:\(partition.name):kms:\(region):\(account):key/\(id)" }

    /// Parses a name.
    ///
    /// - Throws: ``AWSError`` with `callerUsage` that says which part is not as it must be.
    package init(_ text: String) throws(AWSError) {
        let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 6, parts[0] == "arn", parts[2] == "kms" else {
            throw Self.refusal(text, "it must have the form arn:PARTITION:kms:REGION:ACCOUNT:key/ID")
        }
        guard let partition = Partition.named(parts[1]) else {
            throw Self.refusal(text, "there is no partition \(quoted(parts[1]))")
        }
        guard let home = Partition.of(region: parts[3]) else {
            throw Self.refusal(text, "there is no region \(quoted(parts[3]))")
        }
        guard home == partition else {
            throw Self.refusal(text, "region \(parts[3]) is in partition \(home.name), not \(partition.name)")
        }
        guard parts[4].wholeMatch(of: /[0-9]{12}/) != nil else {
            throw Self.refusal(text, "an account has 12 digits")
        }
        guard parts[5].hasPrefix("key/") else {
            throw AWSError(
                .callerUsage, "cannot use \(quoted(text)): it names no key",
                hint: parts[5].hasPrefix("alias/")
                    ? "Give the key's own ARN; an alias can be pointed at another key." : nil)
        }
        let id = String(parts[5].dropFirst(4))
        guard Self.isID(id) else {
            throw Self.refusal(text, "a key's id is a UUID, or mrk- and 32 hexadecimal digits")
        }
        self.partition = partition
        region = parts[3]
        account = parts[4]
        self.id = id
    }

    /// Whether two names mean keys of the same material: the same name, or replicas of a multi-Region key.
    package func isReplica(of other: KeyARN) -> Bool {
        isMultiRegion && partition == other.partition && account == other.account && id == other.id
    }

    private static func isID(_ id: String) -> Bool {
        id.wholeMatch(of: /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/) != nil
            || id.wholeMatch(of: /mrk-[0-9a-f]{32}/) != nil
    }

    private static func refusal(_ text: String, _ reason: String) -> AWSError {
        AWSError(.callerUsage, "cannot use \(quoted(text)) as a key's ARN: \(reason)")
    }
}
