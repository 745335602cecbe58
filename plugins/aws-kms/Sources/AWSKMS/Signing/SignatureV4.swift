internal import Crypto
internal import Foundation

/// Signs requests after AWS Signature Version 4, in the `Authorization` header.
///
/// Source: AWS, "Create a signed AWS API request", and the vectors of `Tests/Vectors/sigv4`.
package struct SignatureV4: Sendable {
    /// Which key signs for whom.
    package struct Credentials: Sendable {
        /// The id of the access key.
        package let accessKeyID: String
        /// The secret that goes with it.
        package let secretAccessKey: String
        /// The session's token, where the credentials are temporary.
        package let sessionToken: String?

        /// Describes credentials.
        package init(accessKeyID: String, secretAccessKey: String, sessionToken: String? = nil) {
            self.accessKeyID = accessKeyID
            self.secretAccessKey = secretAccessKey
            self.sessionToken = sessionToken
        }
    }

    /// A request as it will be sent.
    package struct Request: Sendable {
        /// The method: `POST`.
        package var method: String
        /// The path, not yet percent-encoded.
        package var path: String
        /// The query's names and values, not yet percent-encoded.
        package var query: [(name: String, value: String)]
        /// The headers in the order in which they are sent; `Host` must be among them, byte for byte as it is sent.
        package var headers: [(name: String, value: String)]
        /// The body.
        package var body: [UInt8]

        /// Describes a request.
        package init(
            method: String = "POST", path: String = "/", query: [(name: String, value: String)] = [],
            headers: [(name: String, value: String)], body: [UInt8]
        ) {
            self.method = method
            self.path = path
            self.query = query
            self.headers = headers
            self.body = body
        }
    }

    /// What may differ between services.
    package struct Options: Sendable {
        /// Whether `//`, `/./` and `/../` are collapsed in the path.
        package var normalizesPath = true
        /// Whether the digest of the body is sent and signed as `x-amz-content-sha256`.
        package var signsBody = false
        /// Whether the session's token is sent but not signed.
        package var omitsSessionToken = false

        /// Takes what KMS and STS want.
        package init() {}
    }

    /// A signed request: its headers to add, and the steps that led to them.
    package struct Signed: Sendable {
        /// The headers to send beside those of the request, `Authorization` last.
        package let headers: [(name: String, value: String)]
        /// The canonical request.
        package let canonicalRequest: String
        /// The string to sign.
        package let stringToSign: String
        /// The value of `Authorization`.
        package let authorization: String
    }

    private let region: String
    private let service: String
    private let options: Options

    /// Makes a signer for one service in one region, which is that of the endpoint.
    package init(region: String, service: String, options: Options = Options()) {
        self.region = region
        self.service = service
        self.options = options
    }

    /// Signs a request.
    ///
    /// - Parameters:
    ///   - request: The request; an `X-Amz-Date` that it already has must be that of `date`.
    ///   - credentials: Who signs.
    ///   - date: The time of signing, in seconds since 1970 UTC; the service allows 5 minutes of difference.
    /// - Returns: The headers to add, with the steps that led to them.
    package func sign(_ request: Request, with credentials: Credentials, at date: Int64) -> Signed {
        let stamp = Self.stamp(date)
        let day = String(stamp.prefix(8))
        let digest = Self.hex(SHA256.hash(data: request.body))
        let (added, unsigned) = headersToAdd(request, credentials, stamp: stamp, digest: digest)
        let canonicalHeaders = Self.canonical(request.headers + added)
        let names = canonicalHeaders.map(\.name).joined(separator: ";")
        let canonicalRequest = [
            request.method, canonicalPath(request.path), Self.canonicalQuery(request.query),
            canonicalHeaders.map { "\($0.name):\($0.value)\n" }.joined(), names, digest,
        ].joined(separator: "\n")
        let scope = "\(day)/\(region)/\(service)/aws4_request"
        let stringToSign = [
            "AWS4-HMAC-SHA256", stamp, scope, Self.hex(SHA256.hash(data: Array(canonicalRequest.utf8))),
        ].joined(separator: "\n")
        let signature = Self.hex(code(stringToSign, under: signingKey(credentials, day: day)))
        let authorization =
            "AWS4-HMAC-SHA256 Credential=\(credentials.accessKeyID)/\(scope), SignedHeaders=\(names), Signature=\(signature)"
        return Signed(
            headers: added + unsigned + [("Authorization", authorization)], canonicalRequest: canonicalRequest,
            stringToSign: stringToSign, authorization: authorization
        )
    }

    private typealias Header = (name: String, value: String)

    private func headersToAdd(
        _ request: Request, _ credentials: Credentials, stamp: String, digest: String
    ) -> (signed: [Header], unsigned: [Header]) {
        let present = Set(request.headers.map { $0.name.lowercased() })
        var signed: [Header] = []
        var unsigned: [Header] = []
        if !present.contains("x-amz-date") { signed.append(("X-Amz-Date", stamp)) }
        if options.signsBody, !present.contains("x-amz-content-sha256") {
            signed.append(("X-Amz-Content-Sha256", digest))
        }
        if let token = credentials.sessionToken, !present.contains("x-amz-security-token") {
            let header = ("X-Amz-Security-Token", token)
            if options.omitsSessionToken { unsigned.append(header) } else { signed.append(header) }
        }
        return (signed, unsigned)
    }

    private func signingKey(_ credentials: Credentials, day: String) -> SymmetricKey {
        let start = SymmetricKey(data: Array("AWS4\(credentials.secretAccessKey)".utf8))
        return [day, region, service, "aws4_request"].reduce(start) { SymmetricKey(data: code($1, under: $0)) }
    }

    private func code(_ text: String, under key: SymmetricKey) -> HMAC<SHA256>.MAC {
        HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: key)
    }

    private func canonicalPath(_ path: String) -> String {
        let path = path.isEmpty ? "/" : path
        let bytes = Array(path.utf8)
        return Self.encoded(options.normalizesPath ? Self.normalized(bytes) : bytes, keepingSlash: true)
    }

    /// Collapses empty, `.` and `..` segments, as RFC 3986 section 5.2.4 removes dots.
    private static func normalized(_ path: [UInt8]) -> [UInt8] {
        let slash = UInt8(ascii: "/")
        let dot = [UInt8(ascii: ".")]
        var kept: [ArraySlice<UInt8>] = []
        let segments = path.split(separator: slash, omittingEmptySubsequences: false)
        for segment in segments where !segment.isEmpty && !segment.elementsEqual(dot) {
            if segment.elementsEqual(dot + dot) { _ = kept.popLast() } else { kept.append(segment) }
        }
        guard let last = segments.last, !kept.isEmpty else { return [slash] }
        let endsInFolder = last.isEmpty || last.elementsEqual(dot) || last.elementsEqual(dot + dot)
        return kept.flatMap { [slash] + $0 } + (endsInFolder ? [slash] : [])
    }

    private static func canonicalQuery(_ query: [Header]) -> String {
        query.map { (encoded(Array($0.name.utf8)), encoded(Array($0.value.utf8))) }
            .sorted { ($0.0, $0.1) < ($1.0, $1.1) }
            .map { "\($0.0)=\($0.1)" }
            .joined(separator: "&")
    }

    /// Lower-case names in their order, repeated ones joined, white space collapsed.
    private static func canonical(_ headers: [Header]) -> [Header] {
        var values: [String: [String]] = [:]
        for header in headers {
            let words = header.value.utf8.split { [0x09, 0x0A, 0x0D, 0x20].contains($0) }
            let value = words.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
            values[header.name.lowercased(), default: []].append(value)
        }
        return values.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            .map { ($0, values[$0, default: []].joined(separator: ",")) }
    }

    /// Percent-encodes all but the unreserved characters of RFC 3986.
    private static func encoded(_ bytes: [UInt8], keepingSlash: Bool = false) -> String {
        var result = ""
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                result.unicodeScalars.append(Unicode.Scalar(byte))
            case UInt8(ascii: "/") where keepingSlash: result += "/"
            default: result += "%" + digits[Int(byte >> 4)].uppercased() + digits[Int(byte & 15)].uppercased()
            }
        }
        return result
    }

    private static let digits = "0123456789abcdef".map(String.init)

    private static func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.reduce(into: "") { $0 += digits[Int($1 >> 4)] + digits[Int($1 & 15)] }
    }

    /// `yyyyMMdd'T'HHmmss'Z'` in UTC.
    private static func stamp(_ seconds: Int64) -> String {
        let style = Date.ISO8601FormatStyle(
            dateSeparator: .omitted, dateTimeSeparator: .standard, timeSeparator: .omitted)
        return Date(timeIntervalSince1970: TimeInterval(seconds)).formatted(style)
    }
}
