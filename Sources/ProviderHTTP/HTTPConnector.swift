internal import AsyncHTTPClient
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL
internal import PluginKit

/// Carries requests over HTTP/1.1, with TLS by the system's certificates or by those of a file.
///
/// Redirects are not followed: a provider's server has no reason to send its caller elsewhere.
package final class HTTPConnector: HTTPTransport {
    private let client: HTTPClient

    private static let greatestBody = 1_048_576

    /// Makes a connector; its connections end with it.
    ///
    /// - Parameter authorities: A file of certificates in PEM that are trusted instead of the system's.
    package init(trusting authorities: String? = nil) {
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(connect: .seconds(3)),
            connectionPool: .init(idleTimeout: .seconds(15)),
            decompression: .disabled)
        configuration.httpVersion = .http1Only
        // Whoever calls decides whether to try again.
        configuration.connectionPool.retryConnectionEstablishment = false
        if let authorities {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.trustRoots = .file(authorities)
            configuration.tlsConfiguration = tls
        }
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    deinit {
        let client = client
        client.shutdown { _ in _ = client }
    }

    /// Sends a request once; what comes after the limit is thrown away, and its connection closed.
    package func send(_ request: HTTPRequest, within limit: Duration) async throws(HTTPFailure) -> HTTPResponse {
        let result = await withTaskGroup(of: Result<HTTPResponse, HTTPFailure>.self) { group in
            group.addTask { await self.exchange(request, within: limit) }
            group.addTask {
                try? await Task.sleep(for: limit)
                return .failure(Self.late(limit))
            }
            let first = await group.next()
            group.cancelAll()
            return first ?? .failure(Self.late(limit))
        }
        return try result.get()
    }

    private func exchange(_ request: HTTPRequest, within limit: Duration) async -> Result<HTTPResponse, HTTPFailure> {
        var message = HTTPClientRequest(url: request.url)
        message.method = HTTPMethod(rawValue: request.method)
        for header in request.headers { message.headers.add(name: header.name, value: header.value) }
        if !request.body.isEmpty || request.method != "GET" { message.body = .bytes(ByteBuffer(bytes: request.body)) }
        do {
            let answer = try await client.execute(message, timeout: .nanoseconds(limit.nanosecondsOrMost))
            let body = try await answer.body.collect(upTo: Self.greatestBody)
            return .success(
                HTTPResponse(
                    status: Int(answer.status.code), headers: answer.headers.map { ($0.name, $0.value) },
                    body: Bytes(body.readableBytesView)))
        } catch is NIOTooManyBytesError {
            return .failure(HTTPFailure(.tooGreat, "the answer has more than \(Self.greatestBody) bytes"))
        } catch let error as HTTPClientError {
            return .failure(Self.failure(error, limit))
        } catch {
            return .failure(HTTPFailure(.broken, Self.words(error)))
        }
    }

    private static func failure(_ error: HTTPClientError, _ limit: Duration) -> HTTPFailure {
        switch error {
        case .deadlineExceeded, .readTimeout, .cancelled: late(limit)
        case .connectTimeout: HTTPFailure(.late, "no connection could be made in 3 s")
        case .invalidURL, .emptyHost, .emptyScheme: HTTPFailure(.address, "the address makes no sense")
        case .remoteConnectionClosed: HTTPFailure(.broken, "the connection was closed before the answer was there")
        default: HTTPFailure(.broken, error.shortDescription)
        }
    }

    private static func late(_ limit: Duration) -> HTTPFailure {
        HTTPFailure(.late, "there was no answer in \(limit.components.seconds * 1000 + limit.milliseconds) ms")
    }

    private static func words(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError: "no connection to \(error.host):\(error.port) could be made"
        case let error as IOError: "the connection broke (error \(error.errnoCode))"
        case is NIOSSLError, is NIOSSLExtraError: "no TLS connection could be made, or its certificate is not trusted"
        case is HTTPParserError: "the answer is no HTTP, or ends too early"
        case let error as ChannelError: "the connection broke (\(error))"
        default: "the connection broke"
        }
    }
}

extension Duration {
    fileprivate var milliseconds: Int64 { components.attoseconds / 1_000_000_000_000_000 }

    fileprivate var nanosecondsOrMost: Int64 {
        let (seconds, overflow) = components.seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .max : seconds + components.attoseconds / 1_000_000_000
    }
}
