package import PluginKit

/// A request to a provider's server.
package struct HTTPRequest: Sendable {
    /// The method: `POST`.
    package var method: String
    /// The whole address.
    package var url: String
    /// The headers in the order in which they are sent; `Host` and `Content-Length` are added.
    package var headers: [(name: String, value: String)]
    /// The body.
    package var body: Bytes

    /// Describes a request.
    package init(
        _ method: String, _ url: String, headers: [(name: String, value: String)] = [], body: Bytes = []
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
    }
}

/// What a server answered.
package struct HTTPResponse: Sendable {
    /// The status: 200.
    package let status: Int
    /// The body, complete.
    package let body: Bytes
    private let headers: [String: String]

    /// Describes an answer.
    package init(status: Int, headers: [(name: String, value: String)], body: Bytes) {
        self.status = status
        self.headers = Dictionary(headers.map { ($0.name.lowercased(), $0.value) }) { first, _ in first }
        self.body = body
    }

    /// A header's value, whatever the case of its name.
    package func header(_ name: String) -> String? { headers[name.lowercased()] }
}

/// Says why there is no answer; whether the server did what was asked is not known.
package struct HTTPFailure: Error, Sendable {
    /// What went wrong.
    package enum Kind: Sendable {
        /// No connection could be made, or it ended before the whole answer was there.
        case broken
        /// The time was up.
        case late
        /// The answer is greater than any that makes sense.
        case tooGreat
        /// The address makes no sense.
        case address
    }

    /// What went wrong.
    package let kind: Kind
    /// One line for people, without addresses' queries or headers.
    package let message: String

    /// Describes a failure.
    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }
}

/// Carries requests to servers; the seam between a provider's client and the network.
package protocol HTTPTransport: Sendable {
    /// Sends a request once and waits for the whole answer.
    ///
    /// - Parameters:
    ///   - request: The request.
    ///   - limit: The most time for all of it.
    /// - Returns: The answer, whatever its status.
    /// - Throws: ``HTTPFailure`` where there is none.
    func send(_ request: HTTPRequest, within limit: Duration) async throws(HTTPFailure) -> HTTPResponse
}
