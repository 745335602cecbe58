internal import Control
package import ControlStore
internal import Foundation
internal import FoundationNetworking
internal import KeyModel

/// Posts JSON over HTTP; see `docs/decisions/0011-libcurl-for-webhooks.md`.
///
/// Redirects are not followed, cookies and credentials not kept, and no message shows the address, which may hold a secret.
package struct Webhooks: WebhookPoster {
    /// Makes a poster.
    package init() {}

    /// Posts JSON to an address.
    ///
    /// - Returns: The status of HTTP.
    /// - Throws: ``ControlError`` with `providerUnavailable`, or `callerLimitExceeded` where no answer came in time.
    package func post(_ body: [UInt8], to webhook: WebhookDeclaration) async throws -> Int {
        guard let url = URL(string: webhook.url) else {
            throw Self.unavailable(webhook, "its address cannot be used")
        }
        var request = URLRequest(url: url)
        request.httpMethod = "POST"
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        request.setValue("keyturn", forHTTPHeaderField: "User-Agent")
        request.httpBody = Data(body)
        let configuration = URLSessionConfiguration.ephemeral
        configuration.timeoutIntervalForResource = webhook.timeout / .seconds(1)
        configuration.timeoutIntervalForRequest = webhook.timeout / .seconds(1)
        configuration.httpShouldSetCookies = false
        let session = URLSession(configuration: configuration, delegate: NoRedirect(), delegateQueue: nil)
        defer { session.finishTasksAndInvalidate() }
        do {
            let (_, response) = try await session.data(for: request)
            guard let answer = response as? HTTPURLResponse else {
                throw Self.unavailable(webhook, "no answer of HTTP came")
            }
            return answer.statusCode
        } catch let error as URLError {
            guard error.code != .timedOut else {
                throw ControlError(
                    .callerLimitExceeded,
                    "webhook \"\(webhook.name)\" did not answer within \(webhook.timeout.durationText)",
                    hint: "Whether the message arrived is not known.")
            }
            throw Self.unavailable(webhook, Self.reason(error.code))
        }
    }

    private static func unavailable(_ webhook: WebhookDeclaration, _ why: String) -> ControlError {
        ControlError(
            codeName: "providerUnavailable", "webhook \"\(webhook.name)\" cannot be reached: \(why)", status: 2)
    }

    private static func reason(_ code: URLError.Code) -> String {
        switch code {
        case .cannotFindHost, .dnsLookupFailed: "its host is not known"
        case .cannotConnectToHost: "its host does not take the connection"
        case .networkConnectionLost: "the connection was lost"
        case .serverCertificateUntrusted, .secureConnectionFailed, .serverCertificateHasBadDate,
            .serverCertificateNotYetValid, .serverCertificateHasUnknownRoot:
            "its certificate is not trusted"
        default: "error \(code.rawValue) of the network"
        }
    }
}

/// Leaves a redirect as the answer, since it could lead anywhere.
private final class NoRedirect: NSObject, URLSessionTaskDelegate {
    func urlSession(
        _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
        newRequest request: URLRequest, completionHandler: @escaping (URLRequest?) -> Void
    ) { completionHandler(nil) }
}
