internal import Foundation
internal import KeyModel
internal import PluginKit
internal import ProviderHTTP

/// What AWS says where it does not do what was asked, whichever of its several forms that has.
struct AWSRefusal {
    /// The error's name, without namespace or address: `AccessDeniedException`.
    let code: String
    /// Its text; not to be shown before ``shown``.
    let message: String
    /// The answer's status.
    let status: Int
    /// The server's time, in seconds since 1970.
    let date: Double?
    /// How long the server asks us to wait.
    let pause: Duration?

    private struct Body: Decodable {
        let type: String?
        let message: String?
        let greatMessage: String?

        private enum CodingKeys: String, CodingKey {
            case type = "__type"
            case message
            case greatMessage = "Message"
        }
    }

    init(_ answer: HTTPResponse) {
        status = answer.status
        date = answer.header("Date").flatMap(AWSTime.header)
        pause = answer.header("x-amz-retry-after").flatMap(Int64.init).map { .milliseconds(max(0, min($0, 60_000))) }
        let body = try? JSONDecoder().decode(Body.self, from: Data(answer.body))
        let xml = body == nil ? XMLLeaves(answer.body) : nil
        let name = answer.header("x-amzn-errortype") ?? body?.type ?? xml?["Code"] ?? ""
        // A namespace may stand before the name and an address behind it.
        let last = name.split(separator: "#").last.map(String.init) ?? ""
        code = last.split(separator: ":").first.map(String.init) ?? ""
        message = body?.message ?? body?.greatMessage ?? xml?["Message"] ?? ""
    }

    /// Whether the clocks differ too much for a signature.
    var tellsOfSkew: Bool {
        if ["RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"].contains(code) { return true }
        return isAboutSignature
            && ["signature expired", "not yet current"].contains { message.lowercased().contains($0) }
    }

    /// Whether the credentials have ended, by time or because they were taken back.
    var tellsOfExpiry: Bool {
        [
            "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "UnrecognizedClientException",
            "InvalidClientTokenId",
        ]
        .contains(code)
    }

    /// Why another attempt may help; nil where it cannot.
    var retry: RetryPolicy.Reason? {
        let throttling: Set = [
            "ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException",
            "RequestLimitExceeded", "RequestThrottledException", "SlowDown", "EC2ThrottledException",
        ]
        if throttling.contains(code) || status == 429 { return .throttled }
        let passing: Set = [
            "KMSInternalException", "DependencyTimeoutException", "KeyUnavailableException", "InternalFailure",
            "ServiceUnavailable", "RequestTimeout", "RequestTimeoutException", "IDPCommunicationError",
        ]
        return passing.contains(code) || [500, 502, 503, 504].contains(status) ? .transient : nil
    }

    /// The text for people; texts about signatures quote the signed headers, token included, and are left out.
    var shown: String {
        if isAboutSignature || message.isEmpty { return code.isEmpty ? "status \(status)" : code }
        return code.isEmpty ? quoted(message) : "\(code): \(quoted(message))"
    }

    private var isAboutSignature: Bool {
        ["SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "IncompleteSignatureException"]
            .contains(code)
    }
}
