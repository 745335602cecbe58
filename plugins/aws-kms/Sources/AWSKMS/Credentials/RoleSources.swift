package import AWSNames
internal import KeyModel
package import ProviderHTTP

/// Credentials of a role that a profile names.
package struct ProfileRoleCredentials: CredentialSource {
    private let context: AWSContext
    private let profile: String
    private let sts: STSClient
    private let transport: any HTTPTransport

    /// Looks in a profile.
    package init(_ context: AWSContext, profile: String, sts: STSClient) {
        self.context = context
        self.profile = profile
        self.sts = sts
        transport = context.transport
    }

    /// Assumes the profile's role by its source; roles whose source is a role again are not followed.
    package func find(_ deadline: Deadline) async throws(AWSError) -> CredentialFinding {
        guard let settings = AWSProfiles(context.surroundings)[profile] else {
            return .absent("there is no profile \(quoted(profile))")
        }
        guard let text = settings["role_arn"], settings["web_identity_token_file"] == nil else {
            return .absent("profile \(quoted(profile)) names no role")
        }
        guard settings["mfa_serial"] == nil else {
            throw AWSError(
                .providerCredentials, "profile \(quoted(profile)) wants a one-time code, which a service cannot type",
                hint: "Use a role without mfa_serial.")
        }
        let seconds = settings["duration_seconds"].flatMap(Int.init) ?? 3600
        guard (900...43_200).contains(seconds) else {
            throw AWSError(.callerUsage, "duration_seconds of profile \(quoted(profile)) is not 900 to 43200")
        }
        let role = try RoleARN(text)
        let base = try await source(settings, deadline)
        let cache = CredentialCache(now: context.surroundings.now) { _ in .success(base) }
        let assumption = STSClient.Assumption(
            role, session: settings["role_session_name"] ?? "keyturn", externalID: settings["external_id"],
            seconds: base.areTemporary ? min(seconds, 3600) : seconds)
        return .found(try await sts.assume(assumption, cache, deadline))
    }

    private func source(_ settings: [String: String], _ deadline: Deadline) async throws(AWSError) -> AWSCredentials {
        let found: CredentialFinding
        switch (settings["source_profile"], settings["credential_source"]) {
        case (let name?, nil):
            found = try await ProfileCredentials(context.surroundings, profile: name).find(deadline)
        case (nil, "Environment"?): found = try await EnvironmentCredentials(context.surroundings).find(deadline)
        case (nil, "EcsContainer"?):
            found = try await ContainerCredentials(context.surroundings, transport).find(deadline)
        case (nil, "Ec2InstanceMetadata"?):
            found = try await InstanceCredentials(context.surroundings, transport).find(deadline)
        default:
            throw AWSError(
                .callerUsage, "profile \(quoted(profile)) names a role and not exactly one source for it",
                hint: "Give source_profile, or credential_source as Environment, EcsContainer or Ec2InstanceMetadata.")
        }
        switch found {
        case .found(let credentials): return credentials
        case .absent(let why):
            throw AWSError(.providerCredentials, "the source of profile \(quoted(profile)) has no credentials: \(why)")
        }
    }
}

/// Credentials of a role that is assumed by the token of an identity provider, as on EKS.
package struct WebIdentityCredentials: CredentialSource {
    private let surroundings: Surroundings
    private let sts: STSClient

    /// Looks in an environment.
    package init(_ surroundings: Surroundings, sts: STSClient) {
        self.surroundings = surroundings
        self.sts = sts
    }

    /// Reads the token anew each time: it is replaced now and then.
    package func find(_ deadline: Deadline) async throws(AWSError) -> CredentialFinding {
        guard let file = surroundings.variable("AWS_WEB_IDENTITY_TOKEN_FILE") else {
            return .absent("AWS_WEB_IDENTITY_TOKEN_FILE is not set")
        }
        guard let text = surroundings.variable("AWS_ROLE_ARN") else {
            throw AWSError(.callerUsage, "AWS_WEB_IDENTITY_TOKEN_FILE is set, AWS_ROLE_ARN is not")
        }
        guard let bytes = surroundings.read(file), !bytes.isEmpty else {
            // It is put there anew now and then; that it cannot be read for a moment is no revocation.
            throw AWSError(.providerUnavailable, "cannot read the web identity's token from \(quoted(file))")
        }
        let token = String(decoding: bytes, as: UTF8.self).filter { !$0.isWhitespace }
        return .found(
            try await sts.assume(
                try RoleARN(text), session: surroundings.variable("AWS_ROLE_SESSION_NAME") ?? "keyturn",
                webIdentity: token, deadline))
    }
}

/// The places that may hold credentials, in the order in which AWS's own tools look.
package struct CredentialChain: Sendable {
    private let sources: [any CredentialSource]

    /// Lists the places; where the settings name a profile, nothing else is looked at.
    package init(_ context: AWSContext, sts: STSClient, profile: String?) {
        let surroundings = context.surroundings
        let name = profile ?? surroundings.variable("AWS_PROFILE") ?? "default"
        let profiles: [any CredentialSource] = [
            ProfileRoleCredentials(context, profile: name, sts: sts), ProfileCredentials(surroundings, profile: name),
        ]
        guard profile == nil else {
            sources = profiles
            return
        }
        sources =
            [EnvironmentCredentials(surroundings), profiles[0], WebIdentityCredentials(surroundings, sts: sts)]
            + [
                profiles[1], ContainerCredentials(surroundings, context.transport),
                InstanceCredentials(surroundings, context.transport),
            ]
    }

    /// The credentials of the first place that has some.
    ///
    /// - Throws: ``AWSError`` with `providerUnavailable` that names every place and why it has none: a metadata service that is
    ///   away for a moment is no revocation.
    package func find(_ deadline: Deadline) async throws(AWSError) -> AWSCredentials {
        var reasons: [String] = []
        for source in sources {
            switch try await source.find(deadline) {
            case .found(let credentials): return credentials
            case .absent(let why): if !reasons.contains(why) { reasons.append(why) }
            }
        }
        throw AWSError(
            .providerUnavailable, "there are no credentials for AWS: \(reasons.joined(separator: "; "))",
            hint:
                "Name in the provider's environment what your platform sets, such as AWS_PROFILE; in a container on EC2 raise "
                + "the hop limit for metadata to 2.")
    }
}
