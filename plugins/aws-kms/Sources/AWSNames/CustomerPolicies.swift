/// The two policies that a key's owner pastes into the account that holds the key.
package struct CustomerPolicies: Sendable {
    /// The name that the role has where nobody says otherwise.
    package static let standardRole = "KeyturnBYOKRole"

    /// What Keyturn does with a key.
    private static let needed = [
        "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey", "kms:DescribeKey",
    ]

    /// What else the product that this flow comes from asks for, and why Keyturn does not.
    package static let unneeded: [(action: String, meaning: String)] = [
        (
            "kms:DeleteImportedKeyMaterial",
            "takes the material of an imported key away, and with it everything under the key; Keyturn never calls it"
        ),
        (
            "kms:ConnectCustomKeyStore",
            "connects a CloudHSM or external key store; it is allowed on stores, so that naming a key has no effect"
        ),
    ]

    /// Allows a role the use of the key.
    package let permission: String
    /// Lets one principal assume the role, with the External ID alone.
    package let trust: String

    /// Writes the policies.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - principal: The ARN of who assumes the role.
    ///   - externalID: What must come with it.
    ///   - isFull: Whether the actions that Keyturn does not need are allowed too.
    package init(_ key: KeyARN, principal: String, externalID: String, isFull: Bool) {
        let actions = Self.needed + (isFull ? Self.unneeded.map(\.action) : [])
        let list = actions.map { "        \"\($0)\"" }.joined(separator: ",\n")
        permission = """
            {
              "Version": "2012-10-17",
              "Statement": [
                {
                  "Sid": "KeyturnWrapsKeys",
                  "Effect": "Allow",
                  "Action": [
            \(list)
                  ],
                  "Resource": "\(key)"
                }
              ]
            }
            """
        trust = """
            {
              "Version": "2012-10-17",
              "Statement": [
                {
                  "Sid": "KeyturnAssumesThisRole",
                  "Effect": "Allow",
                  "Principal": { "AWS": "\(principal)" },
                  "Action": "sts:AssumeRole",
                  "Condition": { "StringEquals": { "sts:ExternalId": "\(externalID)" } }
                }
              ]
            }
            """
    }

    /// Who is to be trusted for a caller: the role itself where the caller is a session of one.
    ///
    /// - Throws: ``AWSError`` with `callerUsage` for what is no user and no role.
    package static func principal(for caller: String) throws(AWSError) -> String {
        let parts = caller.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false).map(String.init)
        let isName = caller.wholeMatch(of: /[A-Za-z0-9_+=,.@:\/\-]{20,600}/) != nil
        guard isName, parts.count == 6, parts[0] == "arn", Partition.named(parts[1]) != nil,
            parts[4].wholeMatch(of: /[0-9]{12}/) != nil
        else { throw refusal(caller) }
        let path = parts[5].split(separator: "/").map(String.init)
        if parts[2] == "sts", path.count == 3, path[0] == "assumed-role" {
            return "arn:\(parts[1]):iam::\(parts[4]):role/\(path[1])"
        }
        guard parts[2] == "iam", path.count >= 2, ["role", "user"].contains(path[0]) else { throw refusal(caller) }
        return caller
    }

    private static func refusal(_ caller: String) -> AWSError {
        AWSError(
            .callerUsage, "cannot trust \"\(caller.prefix(200))\": it is the ARN of no user and no role",
            hint: "Run \"aws sts get-caller-identity\" where Keyturn runs, and give its Arn.")
    }
}

/// Two names that should be the same.
package struct NameDifference: Sendable {
    /// Lines for people: both names, and marks below the letters that differ; empty where none do.
    package let lines: [String]
    /// Whether only upper and lower case differ.
    package let isOnlyCase: Bool

    /// Compares names.
    package init(expected: String, given: String) {
        isOnlyCase = expected != given && expected.lowercased() == given.lowercased()
        guard expected != given else {
            lines = []
            return
        }
        let (left, right) = (Array(expected), Array(given))
        let marks = (0..<max(left.count, right.count)).map { index in
            index < left.count && index < right.count && left[index] == right[index] ? " " : "^"
        }
        lines = ["expected: \(expected)", "given:    \(given)", "          \(marks.joined())"]
    }
}
