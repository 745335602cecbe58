internal import AWSNames
internal import KeyModel
internal import PluginKit
internal import ProviderHTTP

/// Sends signed calls to one service: tries again what may pass, renews what has ended, sets right what is out of time.
struct SignedCaller: Sendable {
    /// One call.
    struct Call: Sendable {
        /// The action: `Decrypt`.
        let action: String
        /// What it is about, for messages: the key.
        let subject: String
        let headers: [(name: String, value: String)]
        let body: Bytes

        var name: String { subject.isEmpty ? action : "\(action) with \(subject)" }
    }

    let endpoint: Endpoint
    let region: String
    let service: Endpoint.Service
    let context: AWSContext

    private static let longestAttempt = Duration.seconds(3)

    /// Calls until there is an answer that `read` accepts, or no reason to go on.
    ///
    /// Calls without credentials are not signed; `refuse` gives our words for a refusal that no retry changes; an answer with
    /// status 2xx that `read` cannot read counts as a transient failure.
    func call<Answer>(
        _ call: Call, with credentials: CredentialCache?, _ deadline: Deadline,
        refuse: (AWSRefusal) -> AWSError, read: (HTTPResponse) -> Answer?
    ) async throws(AWSError) -> Answer {
        var attempt = 0
        var hasRenewed = false
        var hasCorrected = false
        while true {
            attempt += 1
            let (signer, number) = try await signer(credentials, deadline)
            let failure: Failure
            switch await send(call, signer, deadline) {
            case .failure(let broken): failure = .init(.transient, unreachable(call, broken))
            case .success(let answer) where (200..<300).contains(answer.status):
                if let result = read(answer) {
                    context.earn()
                    return result
                }
                failure = .init(.transient, senseless(call, answer))
            case .success(let answer):
                let refusal = AWSRefusal(answer)
                if refusal.tellsOfExpiry, !hasRenewed, let credentials {
                    hasRenewed = true
                    try await credentials.renew(after: number, deadline)
                    attempt -= 1
                    continue
                }
                if refusal.tellsOfSkew, !hasCorrected, let date = refusal.date {
                    hasCorrected = true
                    context.correctClock(by: date)
                    attempt -= 1
                    continue
                }
                guard let reason = refusal.retry else { throw refuse(refusal) }
                failure = .init(reason, busy(call, refusal, reason), asked: refusal.pause)
            }
            guard
                let wait = context.wait(after: attempt, failure.reason, asked: failure.asked, deadline)
            else { throw failure.error }
            await context.surroundings.sleep(wait)
            if Task.isCancelled { throw failure.error }
        }
    }

    private struct Failure {
        let reason: RetryPolicy.Reason
        let error: AWSError
        let asked: Duration?

        init(_ reason: RetryPolicy.Reason, _ error: AWSError, asked: Duration? = nil) {
            self.reason = reason
            self.error = error
            self.asked = asked
        }
    }

    private func signer(
        _ credentials: CredentialCache?, _ deadline: Deadline
    ) async throws(AWSError) -> (SignatureV4.Credentials?, Int) {
        guard let credentials else { return (nil, 0) }
        let (found, number) = try await credentials.current(deadline)
        return (found.signing, number)
    }

    private func send(
        _ call: Call, _ signer: SignatureV4.Credentials?, _ deadline: Deadline
    ) async -> Result<HTTPResponse, HTTPFailure> {
        var headers = call.headers
        if let signer {
            let request = SignatureV4.Request(headers: [("Host", endpoint.host)] + headers, body: call.body)
            headers +=
                SignatureV4(region: region, service: service.rawValue)
                .sign(request, with: signer, at: context.time).headers
        }
        context.count(call.action)
        // One attempt that stalls leaves time for another.
        let limit = max(min(Self.longestAttempt, deadline.remaining * 0.6), min(.milliseconds(300), deadline.remaining))
        guard limit > .zero else { return .failure(HTTPFailure(.late, "the time was up before it was asked")) }
        do throws(HTTPFailure) {
            return .success(
                try await context.transport.send(
                    HTTPRequest("POST", endpoint.url + "/", headers: headers, body: call.body), within: limit))
        } catch {
            return .failure(error)
        }
    }

    private func unreachable(_ call: Call, _ failure: HTTPFailure) -> AWSError {
        AWSError(
            .providerUnavailable, "cannot reach \(endpoint.host) for \(call.name): \(failure.message)",
            hint: "Check the network's way to \(endpoint.host), then retry.")
    }

    private func senseless(_ call: Call, _ answer: HTTPResponse) -> AWSError {
        AWSError(
            .providerAnswer,
            "\(endpoint.host) answers \(call.name) with status \(answer.status) and \(answer.body.count) bytes that are no answer",
            hint: "Something between here and AWS may answer in its place; check proxies and endpoints.")
    }

    private func busy(_ call: Call, _ refusal: AWSRefusal, _ reason: RetryPolicy.Reason) -> AWSError {
        switch reason {
        case .throttled:
            AWSError(
                .providerThrottled, "\(endpoint.host) throttles \(call.name): \(refusal.shown)",
                hint: "The account's quota of calls is used up; retry in a while, or have it raised.")
        case .transient:
            AWSError(.providerUnavailable, "\(endpoint.host) cannot do \(call.name) now: \(refusal.shown)")
        }
    }
}
