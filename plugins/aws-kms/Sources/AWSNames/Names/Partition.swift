/// A part of AWS with endpoints and names of its own.
///
/// Source: the endpoint rules that ship with AWS's SDKs.
package struct Partition: Hashable, Sendable {
    /// Its name, the second part of each ARN: `aws-cn`.
    package let name: String
    /// What endpoints end with: `amazonaws.com`.
    package let suffix: String
    /// What endpoints end with that answer on IPv6 too; nil where there are none.
    package let dualStackSuffix: String?

    /// All partitions.
    package static let all: [Partition] = [
        Partition(name: "aws", suffix: "amazonaws.com", dualStackSuffix: "api.aws"),
        Partition(name: "aws-cn", suffix: "amazonaws.com.cn", dualStackSuffix: "api.amazonwebservices.com.cn"),
        Partition(name: "aws-us-gov", suffix: "amazonaws.com", dualStackSuffix: "api.aws"),
        Partition(name: "aws-eusc", suffix: "amazonaws.eu", dualStackSuffix: "api.amazonwebservices.eu"),
        Partition(name: "aws-iso", suffix: "c2s.ic.gov", dualStackSuffix: nil),
        Partition(name: "aws-iso-b", suffix: "sc2s.sgov.gov", dualStackSuffix: nil),
        Partition(name: "aws-iso-e", suffix: "cloud.adc-e.uk", dualStackSuffix: nil),
        Partition(name: "aws-iso-f", suffix: "csp.hci.ic.gov", dualStackSuffix: nil),
    ]

    /// The partition of this name; nil where there is none.
    package static func named(_ name: String) -> Partition? { all.first { $0.name == name } }

    /// The partition that a region belongs to; nil for what is no region.
    package static func of(region: String) -> Partition? {
        guard region.wholeMatch(of: /[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}/) != nil else { return nil }
        let prefixes = [
            ("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"), ("eusc-", "aws-eusc"), ("us-isob-", "aws-iso-b"),
            ("us-isof-", "aws-iso-f"), ("eu-isoe-", "aws-iso-e"), ("us-iso-", "aws-iso"),
        ]
        if let special = prefixes.first(where: { region.hasPrefix($0.0) }) { return named(special.1) }
        let areas: Set = ["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"]
        return areas.contains(String(region.prefix(2))) && region.dropFirst(2).hasPrefix("-") ? named("aws") : nil
    }
}
