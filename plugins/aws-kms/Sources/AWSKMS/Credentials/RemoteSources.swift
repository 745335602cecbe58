package import AWSNames
internal import Foundation
internal import KeyModel
internal import PluginKit
package import ProviderHTTP

/// Credentials of a container: of ECS, or of EKS's pod identity.
package struct ContainerCredentials: CredentialSource {
    private let surroundings: Surroundings
    private let transport: any HTTPTransport

    private static let attempts = 3
    private static let pause = Duration.milliseconds(100)
    private static let limit = Duration.seconds(2)

    /// Asks the agent that the environment names.
    package init(_ surroundings: Surroundings, _ transport: any HTTPTransport) {
        self.surroundings = surroundings
        self.transport = transport
    }

    /// Asks, at most three times.
    package func find(_ deadline: Deadline) async throws(AWSError) -> CredentialFinding {
        guard let url = try address() else { return .absent("no container's address is set") }
        var headers: [(name: String, value: String)] = [("Accept", "application/json")]
        if let token = try token() { headers.append(("Authorization", token)) }
        var last = ""
        for attempt in 0..<Self.attempts {
            if attempt > 0 { await surroundings.sleep(Self.pause) }
            let answer: HTTPResponse
            do throws(HTTPFailure) {
                answer = try await transport.send(
                    HTTPRequest("GET", url, headers: headers), within: deadline.attempt(Self.limit))
            } catch {
                last = error.message
                continue
            }
            do throws(AWSError) {
                return .found(try SessionDocument.credentials(answer, from: "container", surroundings))
            } catch  where error.code == .providerUnavailable {
                last = error.message
            }
        }
        throw AWSError(.providerUnavailable, "the container's agent gives no credentials: \(last)")
    }

    private func address() throws(AWSError) -> String? {
        if let path = surroundings.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            return "http://169.254.170.2" + (path.hasPrefix("/") ? path : "/" + path)
        }
        guard let url = surroundings.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") else { return nil }
        let parts = URLComponents(string: url)
        let agents = ["127.0.0.1", "localhost", "::1", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"]
        guard let host = parts?.host, parts?.scheme == "https" || (parts?.scheme == "http" && agents.contains(host))
        else {
            throw AWSError(
                .callerUsage, "AWS_CONTAINER_CREDENTIALS_FULL_URI is no address that credentials may come from",
                hint: "Use https, or http to this machine or to a container's agent.")
        }
        return url
    }

    private func token() throws(AWSError) -> String? {
        var token = surroundings.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        if let file = surroundings.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            guard let bytes = surroundings.read(file) else {
                // It is put there anew now and then; that it cannot be read for a moment is no revocation.
                throw AWSError(.providerUnavailable, "cannot read the container's token from \(quoted(file))")
            }
            token = String(decoding: bytes, as: UTF8.self)
        }
        guard let token else { return nil }
        guard !token.utf8.contains(0x0A), !token.utf8.contains(0x0D) else {
            throw AWSError(.providerCredentials, "the container's token has line ends in it")
        }
        return token
    }
}

/// Credentials of an EC2 instance, by version 2 of its metadata service alone.
package struct InstanceCredentials: CredentialSource {
    private let surroundings: Surroundings
    private let transport: any HTTPTransport

    private static let limit = Duration.seconds(1)
    private static let folder = "/latest/meta-data/iam/security-credentials/"
    private static let hint =
        "In a container on EC2, raise the instance's hop limit for metadata to 2; elsewhere set AWS_EC2_METADATA_DISABLED=true."

    /// Asks the metadata service.
    package init(_ surroundings: Surroundings, _ transport: any HTTPTransport) {
        self.surroundings = surroundings
        self.transport = transport
    }

    /// Gets a token, the role's name, then its credentials; never goes back to version 1.
    package func find(_ deadline: Deadline) async throws(AWSError) -> CredentialFinding {
        if surroundings.variable("AWS_EC2_METADATA_DISABLED")?.lowercased() == "true" {
            return .absent("the instance's metadata is switched off")
        }
        let base = try address()
        let token: HTTPResponse
        do throws(HTTPFailure) {
            token = try await transport.send(
                HTTPRequest(
                    "PUT", base + "/latest/api/token",
                    headers: [("x-aws-ec2-metadata-token-ttl-seconds", "21600")]),
                within: deadline.attempt(Self.limit))
        } catch {
            return .absent("no metadata service of an EC2 instance answers (\(error.message))")
        }
        guard token.status == 200, let word = Self.line(token) else {
            throw AWSError(
                SessionDocument.isRefusal(token) ? .providerCredentials : .providerUnavailable,
                "the instance's metadata service gives no token (status \(token.status)), and version 1 is not used",
                hint: Self.hint)
        }
        let role = try await get(base + Self.folder, word, deadline)
        guard role.status == 200, let name = Self.line(role) else {
            guard SessionDocument.isRefusal(role) else {
                throw AWSError(
                    .providerUnavailable,
                    "the instance's metadata service does not name its role (status \(role.status))")
            }
            throw AWSError(
                .providerCredentials, "the instance has no role (status \(role.status))",
                hint: "Attach an instance profile to it.")
        }
        let answer = try await get(base + Self.folder + name, word, deadline)
        return .found(try SessionDocument.credentials(answer, from: "instance role \(name)", surroundings))
    }

    private func address() throws(AWSError) -> String {
        if let named = surroundings.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
            guard let parts = URLComponents(string: named), ["http", "https"].contains(parts.scheme), parts.host != nil
            else { throw AWSError(.callerUsage, "AWS_EC2_METADATA_SERVICE_ENDPOINT is no address") }
            return named.hasSuffix("/") ? String(named.dropLast()) : named
        }
        let isSix = surroundings.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")?.lowercased() == "ipv6"
        return isSix ? "http://[fd00:ec2::254]" : "http://169.254.169.254"
    }

    private func get(_ url: String, _ token: String, _ deadline: Deadline) async throws(AWSError) -> HTTPResponse {
        do throws(HTTPFailure) {
            return try await transport.send(
                HTTPRequest("GET", url, headers: [("x-aws-ec2-metadata-token", token)]),
                within: deadline.attempt(Self.limit))
        } catch {
            throw AWSError(
                .providerUnavailable, "the instance's metadata service does not answer: \(error.message)",
                hint: Self.hint)
        }
    }

    /// The only line of an answer: printable, and without a slash for names.
    private static func line(_ answer: HTTPResponse) -> String? {
        let text = String(decoding: answer.body.prefix(4096), as: UTF8.self).trimmingCharacters(
            in: .whitespacesAndNewlines)
        let isPlain = !text.isEmpty && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
        return isPlain ? text : nil
    }
}

/// The document in which agents and the metadata service hand out credentials.
enum SessionDocument {
    private struct Body: Decodable {
        let accessKeyID: String
        let secretAccessKey: String
        let token: String
        let expiration: String?

        private enum CodingKeys: String, CodingKey {
            case accessKeyID = "AccessKeyId"
            case secretAccessKey = "SecretAccessKey"
            case token = "Token"
            case expiration = "Expiration"
        }
    }

    private struct Refusal: Decodable {
        let code: String?
        let message: String?

        private enum CodingKeys: String, CodingKey {
            case code = "Code"
            case message = "Message"
        }
    }

    /// Whether a status says that somebody decided so; servers that cannot answer now, or are asked too often, did not.
    static func isRefusal(_ answer: HTTPResponse) -> Bool {
        (400..<500).contains(answer.status) && answer.status != 408 && answer.status != 429
    }

    static func credentials(
        _ answer: HTTPResponse, from source: String, _ surroundings: Surroundings
    ) throws(AWSError) -> AWSCredentials {
        guard answer.status == 200, let body = try? JSONDecoder().decode(Body.self, from: Data(answer.body)) else {
            let refusal = try? JSONDecoder().decode(Refusal.self, from: Data(answer.body))
            let why = [refusal?.code, refusal?.message].compactMap { $0 }.map { quoted($0) }.joined(separator: ": ")
            // The metadata service says with status 200 as well that it may not assume the role.
            let isRefused = isRefusal(answer) || (answer.status == 200 && refusal?.code.map { $0 != "Success" } == true)
            throw AWSError(
                isRefused ? .providerCredentials : .providerUnavailable,
                "\(source) gives no credentials (status \(answer.status))\(why.isEmpty ? "" : ": \(why)")")
        }
        return AWSCredentials(
            .init(accessKeyID: body.accessKeyID, secretAccessKey: body.secretAccessKey, sessionToken: body.token),
            expiration: body.expiration.flatMap(AWSTime.seconds), source: source)
    }
}
