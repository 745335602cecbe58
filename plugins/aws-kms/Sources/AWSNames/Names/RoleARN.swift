internal import KeyModel

/// The full name of a role to assume: `arn:aws:iam::111122223333:role/path/Name`.
package struct RoleARN: Hashable, Sendable, CustomStringConvertible {
    /// The partition.
    package let partition: Partition
    /// The account that the role is in: 12 digits.
    package let account: String
    /// The path between `role/` and the name, empty or ending in `/`.
    package let path: String
    /// The name, at most 64 characters; STS compares it exactly, also its case.
    package let name: String

    /// The name as AWS writes it.
    package var description: String { "arn:\(partition.name):iam::\(account):role/\(path)\(name)" }

    /// Parses a name.
    ///
    /// - Throws: ``AWSError`` with `callerUsage` that says which part is not as it must be.
    package init(_ text: String) throws(AWSError) {
        let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 6, parts[0] == "arn", parts[2] == "iam", parts[3].isEmpty, parts[5].hasPrefix("role/")
        else { throw Self.refusal(text, "it must have the form arn:PARTITION:iam::ACCOUNT:role/NAME") }
        guard let partition = Partition.named(parts[1]) else {
            throw Self.refusal(text, "there is no partition \(quoted(parts[1]))")
        }
        guard parts[4].wholeMatch(of: /[0-9]{12}/) != nil else {
            throw Self.refusal(text, "an account has 12 digits")
        }
        var segments = parts[5].split(separator: "/", omittingEmptySubsequences: false).dropFirst().map(String.init)
        let name = segments.popLast() ?? ""
        guard name.wholeMatch(of: /[A-Za-z0-9_+=,.@\-]{1,64}/) != nil else {
            throw Self.refusal(text, "a role's name has 1 to 64 letters, digits or any of _+=,.@-")
        }
        guard segments.allSatisfy({ $0.wholeMatch(of: /[\x21-\x7E]+/) != nil }) else {
            throw Self.refusal(text, "its path is not one")
        }
        self.partition = partition
        account = parts[4]
        path = segments.map { $0 + "/" }.joined()
        self.name = name
    }

    private static func refusal(_ text: String, _ reason: String) -> AWSError {
        AWSError(.callerUsage, "cannot use \(quoted(text)) as a role's ARN: \(reason)")
    }
}

extension RoleARN {
    /// Whether a caller's ARN is that of a session of this role.
    package func isAssumed(by caller: String) -> Bool {
        caller.hasPrefix("arn:\(partition.name):sts::\(account):assumed-role/\(name)/")
    }
}
