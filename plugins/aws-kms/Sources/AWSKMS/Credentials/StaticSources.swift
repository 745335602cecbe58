package import AWSNames
package import ProviderHTTP

/// Credentials in the environment.
package struct EnvironmentCredentials: CredentialSource {
    private let surroundings: Surroundings

    /// Looks in an environment.
    package init(_ surroundings: Surroundings) { self.surroundings = surroundings }

    /// Takes `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, where there is one, `AWS_SESSION_TOKEN`.
    package func find(_ deadline: Deadline) async throws(AWSError) -> CredentialFinding {
        guard let id = surroundings.variable("AWS_ACCESS_KEY_ID") else {
            return .absent("AWS_ACCESS_KEY_ID is not set")
        }
        guard let secret = surroundings.variable("AWS_SECRET_ACCESS_KEY") else {
            throw AWSError(
                .providerCredentials, "AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not",
                hint: "Set both, or neither.")
        }
        let token = surroundings.variable("AWS_SESSION_TOKEN")
        return .found(
            AWSCredentials(
                .init(accessKeyID: id, secretAccessKey: secret, sessionToken: token), source: "environment"))
    }
}

/// Credentials that stand in a profile as they are.
package struct ProfileCredentials: CredentialSource {
    private let surroundings: Surroundings
    private let profile: String

    /// Looks in a profile.
    package init(_ surroundings: Surroundings, profile: String) {
        self.surroundings = surroundings
        self.profile = profile
    }

    /// Reads the files anew each time, so that changed keys are seen.
    package func find(_ deadline: Deadline) async throws(AWSError) -> CredentialFinding {
        guard let settings = AWSProfiles(surroundings)[profile] else {
            return .absent("there is no profile \"\(profile)\"")
        }
        guard let id = settings["aws_access_key_id"], let secret = settings["aws_secret_access_key"] else {
            return .absent("profile \"\(profile)\" holds no keys")
        }
        let token = settings["aws_session_token"]
        return .found(
            AWSCredentials(
                .init(accessKeyID: id, secretAccessKey: secret, sessionToken: token), source: "profile \(profile)"))
    }
}
