internal import Foundation
internal import KeyModel

/// Where a service of AWS answers.
package struct Endpoint: Hashable, Sendable {
    /// A service that Keyturn calls.
    package enum Service: String, CaseIterable, Hashable, Sendable {
        /// Key Management Service.
        case kms
        /// Security Token Service, always the regional one.
        case sts
    }

    /// Kinds of names that a service answers under.
    package struct Variant: Hashable, Sendable {
        /// Whether only validated modules may answer (FIPS 140).
        package var isFIPS: Bool
        /// Whether IPv6 is wanted too.
        package var isDualStack: Bool

        /// Describes a variant.
        package init(isFIPS: Bool = false, isDualStack: Bool = false) {
            self.isFIPS = isFIPS
            self.isDualStack = isDualStack
        }
    }

    /// The address: `https://kms.eu-central-1.amazonaws.com`.
    package let url: String
    /// What the `Host` header says, with a port other than the scheme's own.
    package let host: String

    /// Finds a service's endpoint in a region.
    ///
    /// - Parameters:
    ///   - service: The service.
    ///   - region: Its region.
    ///   - variant: Which of its names.
    ///   - override: An address to use instead; `http` is taken for loopback alone.
    /// - Throws: ``AWSError`` with `callerUsage`.
    package init(
        _ service: Service, region: String, variant: Variant = Variant(), override: String? = nil
    ) throws(AWSError) {
        if let override, !override.isEmpty {
            guard variant == Variant() else {
                throw AWSError(
                    .callerUsage, "cannot use endpoint \(quoted(override)) together with FIPS or dual-stack names",
                    hint: "Leave either out; an endpoint of your own is used as it is.")
            }
            (url, host) = try Self.parse(override)
            return
        }
        guard let partition = Partition.of(region: region) else {
            throw AWSError(.callerUsage, "there is no region \(quoted(region))")
        }
        guard let suffix = variant.isDualStack ? partition.dualStackSuffix : partition.suffix else {
            throw AWSError(.callerUsage, "partition \(partition.name) has no dual-stack endpoints")
        }
        // In us-gov the plain name of STS is the validated one.
        let isPlain = service == .sts && partition.name == "aws-us-gov" && !variant.isDualStack
        host = "\(service.rawValue)\(variant.isFIPS && !isPlain ? "-fips" : "").\(region).\(suffix)"
        url = "https://\(host)"
    }

    private static func parse(_ text: String) throws(AWSError) -> (url: String, host: String) {
        guard let parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased(), let name = parts.host,
            !name.isEmpty, ["http", "https"].contains(scheme), parts.user == nil, parts.query == nil,
            ["", "/"].contains(parts.path)
        else {
            throw AWSError(.callerUsage, "cannot use \(quoted(text)) as an endpoint: it must be https://HOST[:PORT]")
        }
        guard scheme == "https" || ["127.0.0.1", "localhost", "::1", "[::1]"].contains(name) else {
            throw AWSError(
                .callerUsage,
                "cannot use \(quoted(text)) as an endpoint: without TLS it would show keys to the network",
                hint: "Use https; http is for this machine's own addresses alone.")
        }
        let isUsual = parts.port == nil || parts.port == (scheme == "https" ? 443 : 80)
        let host = name + (isUsual ? "" : ":\(parts.port ?? 0)")
        return ("\(scheme)://\(host)", host)
    }
}
