internal import Foundation
internal import KeyModel
internal import PluginKit
internal import ProviderHTTP

/// Carries calls to the server, and tries again what may pass.
struct TransitServer: Sendable {
    let settings: TransitSettings
    let transport: any HTTPTransport
    let surroundings: Surroundings
    let retries = RetryPolicy()

    private static let longestAttempt = Duration.seconds(3)

    /// Why a call failed.
    enum Failure: Error {
        /// The token is not known, or may not.
        case denied(String)
        case other(TransitError)
    }

    /// Calls once or several times; an answer that `read` cannot read counts as a passing failure.
    func call<Answer>(
        _ what: String, _ method: String, _ path: String, _ fields: [String: String]? = nil, token: String?,
        _ deadline: Deadline, read: (Data) -> Answer?
    ) async throws(Failure) -> Answer {
        var headers: [(name: String, value: String)] = [("X-Vault-Request", "true")]
        if let token { headers.append(("X-Vault-Token", token)) }
        if let namespace = settings.namespace { headers.append(("X-Vault-Namespace", namespace)) }
        var body = Bytes()
        if let fields {
            headers.append(("Content-Type", "application/json"))
            body = (try? JSONEncoder().encode(fields)).map { Bytes($0) } ?? []
        }
        let request = HTTPRequest(method, "\(settings.address)/v1/\(path)", headers: headers, body: body)
        var attempt = 0
        while true {
            attempt += 1
            let (reason, failure) = try await once(what, request, deadline, read: read)
            switch failure {
            case .success(let answer): return answer
            case .failure(let error):
                guard
                    let wait = retries.wait(
                        after: attempt, reason, remaining: deadline.remaining, chance: surroundings.chance())
                else { throw .other(error) }
                await surroundings.sleep(wait)
                if Task.isCancelled { throw .other(error) }
            }
        }
    }

    private func once<Answer>(
        _ what: String, _ request: HTTPRequest, _ deadline: Deadline, read: (Data) -> Answer?
    ) async throws(Failure) -> (RetryPolicy.Reason, Result<Answer, TransitError>) {
        let limit = max(min(Self.longestAttempt, deadline.remaining * 0.6), min(.milliseconds(300), deadline.remaining))
        let answer: HTTPResponse
        do throws(HTTPFailure) {
            answer = try await transport.send(request, within: max(limit, .milliseconds(1)))
        } catch {
            return (
                .transient,
                .failure(
                    TransitError(
                        .providerUnavailable, "cannot reach \(settings.address) to \(what): \(error.message)",
                        hint: "Check that the server runs and the network's way to it, then retry."))
            )
        }
        if (200..<300).contains(answer.status) {
            if let result = read(Data(answer.body)) { return (.transient, .success(result)) }
            return (
                .transient,
                .failure(
                    TransitError(
                        .providerAnswer,
                        "\(settings.address) answers with \(answer.body.count) bytes that are no answer"))
            )
        }
        return try refusal(what, answer)
    }

    private func refusal<Answer>(
        _ what: String, _ answer: HTTPResponse
    ) throws(Failure) -> (RetryPolicy.Reason, Result<Answer, TransitError>) {
        let errors = (try? JSONDecoder().decode(TransitRefusal.self, from: Data(answer.body)))?.errors ?? []
        let text = errors.joined(separator: "; ")
        let shown = text.isEmpty ? "status \(answer.status)" : "status \(answer.status): \(quoted(text))"
        switch answer.status {
        case 429:
            return (.throttled, .failure(TransitError(.providerUnavailable, "the server throttles: \(shown)")))
        case 503 where text.lowercased().contains("sealed"):
            throw .other(
                TransitError(
                    .providerUnavailable, "cannot \(what): the server is sealed",
                    hint: "Have its operators unseal it; keys that are held go on until cache_ttl."))
        case 412, 500...599:
            return (.transient, .failure(TransitError(.providerUnavailable, "the server cannot \(what) now: \(shown)")))
        case 403: throw .denied(shown)
        default:
            var error = Self.words(what, answer.status, text, shown, settings)
            error.status = answer.status
            throw .other(error)
        }
    }

    private static func words(
        _ what: String, _ status: Int, _ text: String, _ shown: String, _ settings: TransitSettings
    ) -> TransitError {
        let lower = text.lowercased()
        if lower.contains("message authentication failed") || lower.contains("invalid ciphertext") {
            return TransitError(
                .dataNotAuthentic,
                "cannot \(what): the wrapped key was altered, or it was wrapped for another instance, keyring or key id"
            )
        }
        if lower.contains("too old") || lower.contains("disallowed by policy") {
            return TransitError(
                .providerDenied,
                "cannot \(what): its version is older than min_decryption_version of \(settings.keyName)",
                hint: "Have the key's owner lower min_decryption_version, then rewrap.")
        }
        if status == 404 || lower.contains("encryption key not found") {
            return TransitError(
                .providerKeyUnknown, "the server has no key \(settings.keyName)",
                hint: "Check mount, namespace and key.")
        }
        return TransitError(.providerAnswer, "cannot \(what): \(shown)")
    }
}
