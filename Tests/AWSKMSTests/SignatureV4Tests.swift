import AWSKMS
import Foundation
import Testing
import VectorTesting

struct SignatureV4Tests {
    @Test func signsAsTheVectorsSay() throws {
        for file in try VectorFile<SigningCase>.arrays(in: "sigv4") {
            try file.forEach { entry in
                let signed = try entry.sign()
                let name = Comment(rawValue: entry.name)
                #expect(signed.canonicalRequest == entry.expected.header.canonicalRequest, name)
                #expect(signed.stringToSign == entry.expected.header.stringToSign, name)
                #expect(signed.authorization == entry.expected.header.authorization, name)
            }
        }
    }

    @Test(arguments: [
        ("/a/../b/./c//d/", "/b/c/d/"), ("", "/"), ("/..", "/"), ("/a b/\u{12}", "/a%20b/%12"), ("/a/..", "/"),
        ("/x/.", "/x/"),
    ])
    func collapsesPaths(path: String, canonical: String) {
        let request = SignatureV4.Request(method: "GET", path: path, headers: [("Host", "h")], body: [])
        let credentials = SignatureV4.Credentials(accessKeyID: "A", secretAccessKey: "B")
        let signed = SignatureV4(region: "r", service: "s").sign(request, with: credentials, at: 0)
        #expect(signed.canonicalRequest.split(separator: "\n", omittingEmptySubsequences: false)[1] == canonical)
    }
}

/// One case of `sigv4/*.json`.
private struct SigningCase: Decodable {
    struct Expected: Decodable {
        struct Header: Decodable {
            let canonicalRequest: String
            let stringToSign: String
            let authorization: String

            private enum CodingKeys: String, CodingKey {
                case canonicalRequest = "canonical_request"
                case stringToSign = "string_to_sign"
                case authorization
            }
        }

        let header: Header
    }

    /// A query as pairs, as names with values, or as a text that is percent-encoded.
    struct Query: Decodable {
        let pairs: [(name: String, value: String)]

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let list = try? container.decode([[String]].self) {
                pairs = list.map { ($0.first ?? "", $0.count > 1 ? $0[1] : "") }
            } else if let map = try? container.decode([String: String].self) {
                pairs = map.map { ($0.key, $0.value) }
            } else if let lists = try? container.decode([String: [String]].self) {
                pairs = lists.flatMap { entry in entry.value.map { (entry.key, $0) } }
            } else {
                pairs = try container.decode(String.self).split(separator: "&").map { part in
                    let halves = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                        .map { $0.removingPercentEncoding ?? String($0) }
                    return (halves.first ?? "", halves.count > 1 ? halves[1] : "")
                }
            }
        }
    }

    let name: String
    let method: String
    let path: String
    let query: Query?
    let headers: [[String]]
    let body: String?
    let accessKeyID: String
    let secretAccessKey: String
    let sessionToken: String?
    let date: String
    let region: String
    let service: String
    let normalizePath: Bool?
    let signBody: Bool?
    let omitSessionToken: Bool?
    let expected: Expected

    private enum CodingKeys: String, CodingKey {
        case name, method, path, query, headers, body, date, region, service, expected
        case accessKeyID = "access_key_id"
        case secretAccessKey = "secret_access_key"
        case sessionToken = "session_token"
        case normalizePath = "normalize_path"
        case signBody = "sign_body"
        case omitSessionToken = "omit_session_token"
    }

    func sign() throws -> SignatureV4.Signed {
        var options = SignatureV4.Options()
        options.normalizesPath = normalizePath ?? true
        options.signsBody = signBody ?? false
        options.omitsSessionToken = omitSessionToken ?? false
        let request = SignatureV4.Request(
            method: method, path: path, query: query?.pairs ?? [], headers: headers.map { ($0[0], $0[1]) },
            body: Array((body ?? "").utf8)
        )
        let credentials = SignatureV4.Credentials(
            accessKeyID: accessKeyID, secretAccessKey: secretAccessKey, sessionToken: sessionToken)
        let time = try Date(date, strategy: .iso8601)
        return SignatureV4(region: region, service: service, options: options)
            .sign(request, with: credentials, at: Int64(time.timeIntervalSince1970))
    }
}
