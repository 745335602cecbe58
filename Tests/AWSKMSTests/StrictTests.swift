import AWSKMS
import AWSNames
import CloudTesting
import Foundation
import KeyModel
import PluginKit
import ProviderHTTP
import Testing

/// What only a service as strict as AWS tells: roles, resources, states, kinds, keys, time.
@Suite(.serialized, .enabled(if: LocalCloud.isInstalled(.strict), "boto3 is not installed"))
struct StrictTests {
    @Test func rolesAreExact() async throws {
        let bench = try AWSBench(.strict)
        let role = try bench.cloud.fact("role")
        for name in [role.replacingOccurrences(of: "BYOK", with: "Byok"), role + "2"] {
            await refuses(.providerDenied, "case-sensitive") {
                _ = try await AWSBench.wrap(try bench.provider(["role": name]).provider)
            }
        }
        await refuses(.providerDenied, "External ID") {
            _ = try await AWSBench.wrap(try bench.provider(["external_id": "another"]).provider)
        }
        try bench.cloud.control(["trusted": "arn:aws:iam::111122223333:user/somebody"])
        await refuses(.providerDenied, "does not trust") { _ = try await AWSBench.wrap(try bench.provider().provider) }
    }

    @Test func aRoleWithoutExternalIDFailsTheTestThere() async throws {
        let bench = try AWSBench(.strict)
        try bench.cloud.control(["asks_external_id": false])
        let checks = try await bench.provider().provider.test(AWSBench.call())
        let failed = checks.filter { $0.outcome == .fail }
        #expect(failed.map(\.name) == ["role refuses without External ID", "role refuses another External ID"])
        #expect(failed.allSatisfy { $0.remark.contains("sts:ExternalId") })
    }

    @Test func keysOfTheWrongKindFailTheTestThere() async throws {
        let bench = try AWSBench(.strict)
        for (spec, usage, part) in [
            ("RSA_2048", "ENCRYPT_DECRYPT", "RSA_2048"), ("HMAC_256", "GENERATE_VERIFY_MAC", "GENERATE_VERIFY_MAC"),
        ] {
            let made = try bench.cloud.boto("kms", "create_key", ["KeySpec": spec, "KeyUsage": usage])
            let arn = (made["KeyMetadata"] as? [String: Any])?["Arn"] as? String ?? ""
            try bench.cloud.control(["role_policy": [["Action": ["kms:*"], "Resource": ["*"]]]])
            let checks = try await bench.provider(["key": arn]).provider.test(AWSBench.call())
            let line = checks.first { $0.name == "key" }
            #expect(line?.outcome == .fail)
            #expect(line?.remark.contains(part) == true, Comment(rawValue: line?.remark ?? ""))
            #expect(checks.last?.outcome == .skipped)
        }
    }

    @Test func deniedNamesAllCauses() async throws {
        let bench = try AWSBench(.strict)
        let (provider, _) = try bench.provider()
        let wrapped = try await AWSBench.wrap(provider)
        let resource = try bench.cloud.fact("key")
        try bench.cloud.control(["role_policy": [["Action": ["kms:Encrypt"], "Resource": [resource]]]])
        let (fresh, _) = try bench.provider()
        await refuses(.providerDenied, "does not exist (any more), or it is in another region") {
            _ = try await AWSBench.opens(wrapped, fresh)
        }
        let checks = try await fresh.test(AWSBench.call())
        #expect(checks.first { $0.name == "key" }?.outcome == .fail)
    }

    @Test func anotherContextOrByteDoesNotOpen() async throws {
        let bench = try AWSBench(.strict)
        let (provider, _) = try bench.provider()
        let wrapped = try await AWSBench.wrap(provider)
        await refuses(.dataNotAuthentic, "another instance, keyring or key id") {
            _ = try await AWSBench.opens(wrapped, provider, 8)
        }
        let foreign = WrappedKey(ciphertext: wrapped.ciphertext, providerKeyID: "arn:aws:kms:eu-central-1:1:key/x")
        await refuses(.providerKeyUnknown, "it is under") { _ = try await AWSBench.opens(foreign, provider) }
        #expect(try bench.cloud.takeLog().map(\.action) == ["AssumeRole", "Encrypt", "Decrypt", "Decrypt"])
    }

    @Test func wrapsOfAnotherKeyAreTold() async throws {
        let bench = try AWSBench(.strict)
        let made = try bench.cloud.boto("kms", "create_key", [:])
        let arn = (made["KeyMetadata"] as? [String: Any])?["Arn"] as? String ?? ""
        try bench.cloud.control(["role_policy": [["Action": ["kms:*"], "Resource": ["*"]]]])
        let wrapped = try await AWSBench.wrap(try bench.provider(["key": arn]).provider)
        let moved = WrappedKey(ciphertext: wrapped.ciphertext, providerKeyID: try bench.cloud.fact("key"))
        await refuses(.dataNotAuthentic, "is not under") {
            _ = try await AWSBench.opens(moved, try bench.provider().provider)
        }
    }

    @Test func aKeyInAnotherRegionThanTheMachineIsWarnedAbout() async throws {
        let bench = try AWSBench(.strict)
        for (home, isFar) in [("us-west-2", true), ("eu-central-1", false)] {
            let surroundings = try bench.surroundings(["AWS_REGION": home])
            let checks = try await bench.provider(surroundings: surroundings).provider.test(AWSBench.call())
            let line = try #require(checks.first { $0.name == "latency" })
            #expect(
                line.outcome == .pass && line.remark.contains("from \"us-west-2\" to eu-central-1") == isFar, "\(line)")
        }
    }

    @Test func newMaterialBelowTheSameNameShows() async throws {
        let bench = try AWSBench(.strict)
        let (provider, _) = try bench.provider()
        let wrapped = try await AWSBench.wrap(provider)
        let before = try await provider.describeKey(AWSBench.call()).id
        #expect(wrapped.providerKeyID == before)
        try bench.cloud.boto("kms", "rotate_key_on_demand", ["KeyId": try bench.cloud.fact("key")])
        let after = try await provider.describeKey(AWSBench.call()).id
        #expect(after != before)
        #expect(try await AWSBench.opens(wrapped, provider))
        #expect(try await AWSBench.wrap(provider).providerKeyID == after)
    }

    @Test(arguments: [-3600.0, 3600.0, -301.0])
    func aClockThatIsOffIsCorrected(offset: Double) async throws {
        let bench = try AWSBench(.strict)
        var surroundings = try bench.surroundings()
        surroundings.now = { Date().timeIntervalSince1970 + offset }
        let (provider, context) = try bench.provider(surroundings: surroundings)
        #expect(try await AWSBench.opens(try await AWSBench.wrap(provider), provider))
        #expect(abs(context.clockOffset + offset) < 30)
        let asked = try bench.cloud.takeLog().map(\.action)
        #expect(asked == ["AssumeRole", "AssumeRole", "Encrypt", "Decrypt", "Decrypt"])
        let line = try await provider.test(AWSBench.call()).last
        #expect(line?.remark.contains("clock") == true)
    }

    @Test func aSessionThatEndsMidRunIsRenewed() async throws {
        let bench = try AWSBench(.strict)
        let (provider, _) = try bench.provider()
        let wrapped = try await AWSBench.wrap(provider)
        // The service's clock goes on by two hours: the session is over, and our clock is off as well.
        try bench.cloud.control(["offset": 7200])
        #expect(try await AWSBench.opens(wrapped, provider))
        _ = try bench.cloud.takeLog()
        #expect(try await AWSBench.opens(wrapped, provider))
        #expect(try bench.cloud.takeLog().map(\.action) == ["Decrypt"])
    }

    /// What status shows, so that nobody is surprised by an end, and everybody sees that it moves on.
    @Test func saysWhenItsSessionEnds() async throws {
        let bench = try AWSBench(.strict)
        let (provider, _) = try bench.provider()
        let first = try #require(try await provider.describeKey(AWSBench.call()).credentialsEndAt)
        let inAnHour = Int64((Date().timeIntervalSince1970 + 3600) * 1000)
        #expect(abs(first.milliseconds - inAnHour) < 120_000, "\(first)")
        try bench.cloud.fault("expired", on: "DescribeKey")
        try bench.cloud.control(["session_seconds": 5400])
        let second = try #require(try await provider.describeKey(AWSBench.call()).credentialsEndAt)
        #expect(second.since(first) > .seconds(1200), "\(second)")
        // Keys of a user do not end.
        let administrator = try bench.surroundings([
            "AWS_ACCESS_KEY_ID": "AKIAADMINISTRATOR", "AWS_SECRET_ACCESS_KEY": "secret-of-the-administrator",
        ])
        let user = try bench.provider(["role": ""], surroundings: administrator).provider
        #expect(try await user.describeKey(AWSBench.call()).credentialsEndAt == nil)
    }

    @Test func theQuotaOfTheAccountIsHeeded() async throws {
        let bench = try AWSBench(.strict)
        let (provider, _) = try bench.provider()
        let wrapped = try await AWSBench.wrap(provider)
        try bench.cloud.control(["quota": 0])
        await refuses(.providerUnavailable, "throttles") { _ = try await AWSBench.opens(wrapped, provider) }
        try bench.cloud.control(["quota": 100_000])
        #expect(try await AWSBench.opens(wrapped, provider))
    }

    @Test func aRoleIsNotAskedToAssumeItself() async throws {
        let bench = try AWSBench(.strict)
        try bench.cloud.control(["trusted": "arn:aws:iam::111122223333:user/keyturn"])
        let context = AWSContext(try bench.surroundings(), HTTPConnector())
        let sts = STSClient(
            try Endpoint(.sts, region: "eu-central-1", override: bench.cloud.proxied), region: "eu-central-1", context)
        let chain = CredentialChain(context, sts: sts, profile: nil)
        let user = CredentialCache(now: context.surroundings.now) { deadline in
            do throws(AWSError) { return .success(try await chain.find(deadline)) } catch { return .failure(error) }
        }
        let role = try RoleARN(try bench.cloud.fact("role"))
        let session = try await sts.assume(
            .init(role, session: "outer", externalID: try bench.cloud.fact("external_id")), user,
            Deadline(after: .seconds(30)))
        let inside = try bench.surroundings([
            "AWS_ACCESS_KEY_ID": session.signing.accessKeyID, "AWS_SECRET_ACCESS_KEY": session.signing.secretAccessKey,
            "AWS_SESSION_TOKEN": session.signing.sessionToken ?? "",
        ])
        let (provider, _) = try bench.provider(surroundings: inside)
        #expect(try await AWSBench.opens(try await AWSBench.wrap(provider), provider))
    }
}
