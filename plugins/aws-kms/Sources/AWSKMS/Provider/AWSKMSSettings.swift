package import AWSNames
internal import KeyModel
internal import ProviderHTTP

/// What a provider's settings say, checked.
package struct AWSKMSSettings: Sendable {
    /// The key.
    package let key: KeyARN
    /// The role that is assumed to use it; nil where the credentials themselves may.
    package let role: RoleARN?
    /// What the role's trust policy asks for.
    package let externalID: String?
    /// The session's name in the log of the key's owner.
    package let session: String
    /// The profile that alone is looked at.
    package let profile: String?
    /// Which names the services are called by.
    package let variant: Endpoint.Variant

    /// The settings that are understood: name, meaning, whether it must be there.
    package static let names: [(name: String, summary: String, isRequired: Bool)] = [
        ("key", "the ARN of the key", true),
        ("role", "the ARN of the role that may use it", false),
        ("external_id", "the External ID that the role's trust policy asks for", false),
        ("region", "the key's region; only to be sure", false),
        ("session_name", "how sessions are called in the account's log; keyturn where nothing is said", false),
        ("profile", "the profile of AWS's files that alone is looked at", false),
        ("fips", "\"yes\" uses validated endpoints only", false),
        ("dual_stack", "\"yes\" uses endpoints that answer on IPv6 too", false),
    ]

    /// Checks settings.
    ///
    /// - Throws: ``AWSError`` with `callerUsage`.
    package init(_ settings: [String: String]) throws(AWSError) {
        guard let text = settings["key"], !text.isEmpty else {
            throw AWSError(.callerUsage, "key is missing", hint: "Give the ARN of the key.")
        }
        key = try KeyARN(text)
        if let region = settings["region"], region != key.region {
            throw AWSError(
                .callerUsage, "the region is \(quoted(region)), but the key is in \(key.region)",
                hint: "Leave region out, or give the key's own.")
        }
        role = if let text = settings["role"], !text.isEmpty { try RoleARN(text) } else { nil }
        if let role, role.partition != key.partition {
            throw AWSError(
                .callerUsage, "the role is in partition \(role.partition.name), the key in \(key.partition.name)")
        }
        externalID = settings["external_id"].flatMap { $0.isEmpty ? nil : $0 }
        if let id = externalID, id.wholeMatch(of: /[A-Za-z0-9_+=,.@:\/\-]{2,1224}/) == nil {
            throw AWSError(.callerUsage, "external_id has other characters than letters, digits and _+=,.@:/-")
        }
        session = settings["session_name"] ?? "keyturn"
        guard session.wholeMatch(of: /[A-Za-z0-9_+=,.@\-]{2,64}/) != nil else {
            throw AWSError(.callerUsage, "session_name is no name of 2 to 64 letters, digits and _+=,.@-")
        }
        profile = settings["profile"]
        variant = Endpoint.Variant(
            isFIPS: try Self.flag(settings, "fips"), isDualStack: try Self.flag(settings, "dual_stack"))
    }

    /// Where a service answers, with what environment and profile say instead.
    func endpoint(of service: Endpoint.Service, _ surroundings: Surroundings) throws(AWSError) -> Endpoint {
        let profiles = AWSProfiles(surroundings)
        let name = profile ?? surroundings.variable("AWS_PROFILE") ?? "default"
        var override: String?
        if surroundings.variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")?.lowercased() != "true" {
            override =
                surroundings.variable("AWS_ENDPOINT_URL_\(service.rawValue.uppercased())")
                ?? surroundings.variable("AWS_ENDPOINT_URL") ?? profiles.endpoint(of: service.rawValue, in: name)
        }
        var variant = variant
        if Self.isTrue(surroundings.variable("AWS_USE_FIPS_ENDPOINT"), profiles[name]?["use_fips_endpoint"]) {
            variant.isFIPS = true
        }
        if Self.isTrue(surroundings.variable("AWS_USE_DUALSTACK_ENDPOINT"), profiles[name]?["use_dualstack_endpoint"]) {
            variant.isDualStack = true
        }
        return try Endpoint(service, region: key.region, variant: variant, override: override)
    }

    private static func isTrue(_ first: String?, _ second: String?) -> Bool {
        (first ?? second)?.lowercased() == "true"
    }

    private static func flag(_ settings: [String: String], _ name: String) throws(AWSError) -> Bool {
        switch settings[name] ?? "no" {
        case "yes": return true
        case "no": return false
        default: throw AWSError(.callerUsage, "\(name) is neither \"yes\" nor \"no\"")
        }
    }
}
