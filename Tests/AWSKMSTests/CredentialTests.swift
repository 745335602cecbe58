import AWSKMS
import AWSNames
import CloudTesting
import Foundation
import PluginKit
import ProviderHTTP
import Synchronization
import Testing

/// Where credentials come from, and how they are kept.
@Suite(.serialized)
struct CredentialTests {
    private static func chain(
        _ environment: [String: String], files: [String: String] = [:], endpoint: String = "http://127.0.0.1:1",
        profile: String? = nil
    ) throws -> CredentialChain {
        var surroundings = Surroundings(environment: environment)
        surroundings.read = { files[$0].map { Array($0.utf8) } }
        surroundings.sleep = { _ in }
        let context = AWSContext(surroundings, HTTPConnector())
        let sts = STSClient(
            try Endpoint(.sts, region: "eu-central-1", override: endpoint), region: "eu-central-1", context)
        return CredentialChain(context, sts: sts, profile: profile)
    }

    private static var deadline: Deadline { Deadline(after: .seconds(30)) }
    private static let off = ["AWS_EC2_METADATA_DISABLED": "true", "HOME": "/h"]

    @Test func theEnvironmentComesFirstUnlessBlank() async throws {
        let files = ["/h/.aws/credentials": "[default]\naws_access_key_id = F\naws_secret_access_key = G\n"]
        let full = Self.off.merging(["AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "B"]) { $1 }
        let found = try await Self.chain(full, files: files).find(Self.deadline)
        #expect(found.signing.accessKeyID == "A")
        #expect(found.source == "environment")
        let blank = Self.off.merging(["AWS_ACCESS_KEY_ID": "  "]) { $1 }
        #expect(try await Self.chain(blank, files: files).find(Self.deadline).source == "profile default")
        let half = Self.off.merging(["AWS_ACCESS_KEY_ID": "A"]) { $1 }
        await #expect(throws: AWSError.self) { try await Self.chain(half, files: files).find(Self.deadline) }
    }

    @Test func profilesAreReadFromBothFiles() async throws {
        let files = [
            "/c":
                "[profile work]\nregion = eu-west-1\nservices = mine\n[services mine]\nkms =\n  endpoint_url = https://k\n",
            "/s": "# a comment\n[work]\naws_access_key_id=W\naws_secret_access_key = X \naws_session_token = T\n",
        ]
        var environment = Self.off.merging(["AWS_CONFIG_FILE": "/c", "AWS_SHARED_CREDENTIALS_FILE": "/s"]) { $1 }
        let found = try await Self.chain(environment, files: files, profile: "work").find(Self.deadline)
        #expect(found.signing.secretAccessKey == "X")
        #expect(found.signing.sessionToken == "T")
        environment["AWS_PROFILE"] = "work"
        #expect(try await Self.chain(environment, files: files).find(Self.deadline).signing.accessKeyID == "W")
        var surroundings = Surroundings(environment: environment)
        surroundings.read = { files[$0].map { Array($0.utf8) } }
        let profiles = AWSProfiles(surroundings)
        #expect(profiles.endpoint(of: "kms", in: "work") == "https://k")
        #expect(profiles.endpoint(of: "sts", in: "work") == nil)
    }

    @Test func saysEveryPlaceThatHasNone() async throws {
        let error = await #expect(throws: AWSError.self) { try await Self.chain(Self.off).find(Self.deadline) }
        for part in [
            "AWS_ACCESS_KEY_ID", "profile \"default\"", "AWS_WEB_IDENTITY_TOKEN_FILE", "container", "metadata",
        ] {
            #expect(error?.message.contains(part) == true, Comment(rawValue: error?.message ?? ""))
        }
    }

    @Test(.enabled(if: LocalCloud.isInstalled(.strict), "boto3 is not installed"))
    func aProfileMayNameARole() async throws {
        let bench = try AWSBench(.strict)
        let files = [
            "/h/.aws/config": """
            [profile byok]
            role_arn = \(try bench.cloud.fact("role"))
            external_id = \(try bench.cloud.fact("external_id"))
            source_profile = base
            """,
            "/h/.aws/credentials": """
            [base]
            aws_access_key_id = \(try bench.cloud.fact("access_key_id"))
            aws_secret_access_key = \(try bench.cloud.fact("secret_access_key"))
            """,
        ]
        let found = try await Self.chain(Self.off, files: files, endpoint: bench.cloud.proxied, profile: "byok")
            .find(Self.deadline)
        #expect(found.areTemporary)
        #expect(found.expiration != nil)
    }

    @Test(.enabled(if: LocalCloud.isInstalled(.strict), "boto3 is not installed"))
    func aWebIdentityMayAssumeARole() async throws {
        let bench = try AWSBench(.strict)
        let web = Self.off.merging([
            "AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": try bench.cloud.fact("role"),
        ]) { $1 }
        let found = try await Self.chain(web, files: ["/token": "token-of-the-web\n"], endpoint: bench.cloud.proxied)
            .find(Self.deadline)
        #expect(found.source.hasPrefix("web identity"))
        let other = try Self.chain(web, files: ["/token": "another"], endpoint: bench.cloud.proxied)
        await #expect(throws: AWSError.self) { try await other.find(Self.deadline) }
    }

    @Test(.enabled(if: LocalCloud.isInstalled(.moto), "moto is not installed"))
    func instanceAndContainerAnswer() async throws {
        let bench = try AWSBench(.moto)
        let instance = ["HOME": "/h", "AWS_EC2_METADATA_SERVICE_ENDPOINT": bench.cloud.proxied]
        #expect(try await Self.chain(instance).find(Self.deadline).source == "instance role default-role")
        #expect(try bench.cloud.takeLog().map(\.action).suffix(3).first == "/latest/api/token")
        let document = bench.cloud.url + "/latest/meta-data/iam/security-credentials/default-role"
        let container = Self.off.merging(["AWS_CONTAINER_CREDENTIALS_FULL_URI": document]) { $1 }
        #expect(try await Self.chain(container).find(Self.deadline).source == "container")
    }

    @Test(.enabled(if: LocalCloud.isInstalled(.moto), "moto is not installed"))
    func metadataNeverGoesBackToTheFirstVersion() async throws {
        let bench = try AWSBench(.moto)
        try bench.cloud.fault("html503", on: "/latest/api/token", times: 9)
        let instance = ["HOME": "/h", "AWS_EC2_METADATA_SERVICE_ENDPOINT": bench.cloud.proxied]
        let error = await #expect(throws: AWSError.self) { try await Self.chain(instance).find(Self.deadline) }
        #expect(error?.hint?.contains("hop limit") == true)
        #expect(try bench.cloud.takeLog().map(\.action) == ["/latest/api/token"])
    }

    private static let role = "/latest/meta-data/iam/security-credentials/default-role"

    @Test(
        .enabled(if: LocalCloud.isInstalled(.moto), "moto is not installed"),
        arguments: ["html500", "html503", "html429", "html200"],
        ["/latest/api/token", "/latest/meta-data/iam/security-credentials/", role])
    func aMetadataServiceThatCannotAnswerRevokesNothing(fault: String, place: String) async throws {
        let bench = try AWSBench(.moto)
        try bench.cloud.fault(fault, on: place, times: 9)
        let instance = ["HOME": "/h", "AWS_EC2_METADATA_SERVICE_ENDPOINT": bench.cloud.proxied]
        let error = await #expect(throws: AWSError.self) { try await Self.chain(instance).find(Self.deadline) }
        #expect(error?.code == .providerUnavailable, Comment(rawValue: error?.message ?? ""))
    }

    @Test(.enabled(if: LocalCloud.isInstalled(.moto), "moto is not installed"))
    func aMetadataServiceThatRefusesIsBelieved() async throws {
        let bench = try AWSBench(.moto)
        let instance = ["HOME": "/h", "AWS_EC2_METADATA_SERVICE_ENDPOINT": bench.cloud.proxied]
        for place in ["/latest/api/token", "/latest/meta-data/iam/security-credentials/", Self.role] {
            try bench.cloud.fault("forbidden", on: place, times: 1)
            let error = await #expect(throws: AWSError.self) { try await Self.chain(instance).find(Self.deadline) }
            #expect(error?.code == .providerCredentials, "\(place)")
        }
    }

    @Test(
        .enabled(if: LocalCloud.isInstalled(.moto), "moto is not installed"),
        arguments: ["html500", "html503", "html429", "html200", "badjson", "reset-before"])
    func aContainersAgentIsAskedAgain(fault: String) async throws {
        let bench = try AWSBench(.moto)
        let container = Self.off.merging(["AWS_CONTAINER_CREDENTIALS_FULL_URI": bench.cloud.proxied + Self.role]) { $1 }
        try bench.cloud.fault(fault, on: Self.role, times: 2)
        #expect(try await Self.chain(container).find(Self.deadline).source == "container")
        try bench.cloud.fault(fault, on: Self.role, times: 3)
        let error = await #expect(throws: AWSError.self) { try await Self.chain(container).find(Self.deadline) }
        #expect(error?.code == .providerUnavailable)
        #expect(try bench.cloud.takeLog().count == 6)
        try bench.cloud.fault("forbidden", on: Self.role, times: 1)
        let refusal = await #expect(throws: AWSError.self) { try await Self.chain(container).find(Self.deadline) }
        #expect(refusal?.code == .providerCredentials)
        #expect(try bench.cloud.takeLog().count == 1)
    }

    @Test(arguments: [
        ["AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r"],
        [
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/token",
        ],
    ])
    func aTokenThatIsNotThereForAMomentRevokesNothing(environment: [String: String]) async throws {
        let chain = try Self.chain(Self.off.merging(environment) { $1 })
        let error = await #expect(throws: AWSError.self) { try await chain.find(Self.deadline) }
        #expect(error?.code == .providerUnavailable && error?.message.contains("/token") == true)
    }

    @Test(arguments: ["http://10.0.0.1/x", "http://example.com/", "ftp://127.0.0.1/"])
    func containersAreAskedAtKnownAddressesOnly(url: String) async throws {
        let environment = Self.off.merging(["AWS_CONTAINER_CREDENTIALS_FULL_URI": url]) { $1 }
        let error = await #expect(throws: AWSError.self) { try await Self.chain(environment).find(Self.deadline) }
        #expect(error?.code == .callerUsage)
    }

    @Test func oneRenewalServesAllWhoWait() async throws {
        let asked = Mutex(0)
        let cache = CredentialCache(now: { 1000 }) { _ in
            asked.withLock { $0 += 1 }
            await Task.yield()
            return .success(Self.session(until: 4600))
        }
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<50 { group.addTask { _ = try? await cache.current(Self.deadline) } }
        }
        #expect(asked.withLock { $0 } == 1)
    }

    /// The times of a session of an hour at which it is used as it is, renewed if possible, and renewed or nothing.
    @Test(arguments: [
        (2600.0, false, true), (2800.0, true, true), (3100.0, true, false), (3700.0, true, false),
    ])
    func credentialsAreRenewedBeforeTheyEnd(time: Double, asksAgain: Bool, survivesFailure: Bool) async throws {
        let clock = Mutex(0.0)
        let answers = Mutex([Result<AWSCredentials, AWSError>.success(Self.session(until: 3600))])
        let cache = CredentialCache(now: { clock.withLock { $0 } }) { _ in
            answers.withLock { $0.isEmpty ? .failure(AWSError(.providerUnavailable, "away")) : $0.removeFirst() }
        }
        _ = try await cache.current(Self.deadline)
        clock.withLock { $0 = time }
        answers.withLock { $0 = [.success(Self.session(until: 9999))] }
        if !asksAgain { answers.withLock { $0 = [] } }
        if !survivesFailure {
            answers.withLock { $0 = [] }
            await #expect(throws: AWSError.self) { try await cache.current(Self.deadline) }
            return
        }
        let found = try await cache.current(Self.deadline).credentials
        #expect(found.expiration == (asksAgain ? 9999 : 3600))
    }

    private static func session(until end: Double) -> AWSCredentials {
        AWSCredentials(
            .init(accessKeyID: "A", secretAccessKey: "B", sessionToken: "C"), expiration: end, source: "test")
    }
}

struct RetryPolicyTests {
    @Test func waitsGrowAndAreJittered() {
        let policy = RetryPolicy(attempts: 9)
        func wait(_ attempt: Int, _ reason: RetryPolicy.Reason, _ chance: Double) -> Duration? {
            policy.wait(after: attempt, reason, remaining: .seconds(100), chance: chance)
        }
        #expect(wait(1, .transient, 0.5) == .milliseconds(25))
        #expect(wait(3, .transient, 0.5) == .milliseconds(100))
        #expect(wait(1, .throttled, 0.5) == .milliseconds(500))
        #expect(wait(8, .throttled, 0.5) == .seconds(10))
        #expect(wait(9, .transient, 0.5) == nil)
        #expect(policy.wait(after: 1, .throttled, remaining: .milliseconds(10), chance: 0.9) == nil)
        #expect(
            policy.wait(after: 1, .transient, asked: .seconds(60), remaining: .seconds(100), chance: 0) == .seconds(5))
    }

    @Test func aBudgetEndsStorms() {
        var budget = RetryBudget()
        var retries = 0
        while budget.pay(.transient) { retries += 1 }
        #expect(retries == 35)
        for _ in 0..<14 { budget.earn() }
        let mayAgain = budget.pay(.transient)
        #expect(mayAgain)
    }
}
