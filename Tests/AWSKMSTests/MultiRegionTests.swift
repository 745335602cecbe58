import AWSKMS
import AWSNames
import CloudTesting
import Foundation
import KeyModel
import PluginKit
import ProviderHTTP
import Testing

/// Keys that are in several regions under one id: what is wrapped in one region opens in another, and nothing else does.
@Suite(.serialized)
struct MultiRegionTests {
    private static let away = "us-east-1"
    static let kinds: [LocalCloud.Kind] = [.ministack, .strict].filter(LocalCloud.isInstalled)

    /// The ARN of a key here, and that of its replica; nil where the service is known to make none.
    private func key(_ bench: AWSBench) throws -> (here: String, away: String)? {
        let made = try bench.cloud.boto("kms", "create_key", ["MultiRegion": true])
        let here = try arn(made, "KeyMetadata")
        do {
            let replica = try bench.cloud.boto("kms", "replicate_key", ["KeyId": here, "ReplicaRegion": Self.away])
            return (here, try arn(replica, "ReplicaKeyMetadata"))
        } catch let error as CloudError {
            guard let why = Difference.why(bench.cloud.kind, Difference.replicas),
                error.description.contains("Unknown action: ReplicateKey")
            else { throw error }
            print("\(bench.cloud.kind.rawValue): \(why)")
            return nil
        }
    }

    private func arn(_ answer: [String: Any], _ part: String) throws -> String {
        try #require((answer[part] as? [String: Any])?["Arn"] as? String)
    }

    private func mayUseEveryKey(_ bench: AWSBench) throws {
        guard bench.cloud.kind == .strict else { return }
        try bench.cloud.control(["role_policy": [["Action": ["kms:*"], "Resource": ["*"]]]])
    }

    @Test(.enabled(if: !kinds.isEmpty, "no service is installed"), arguments: kinds)
    func whatIsWrappedInOneRegionOpensInAnother(kind: LocalCloud.Kind) async throws {
        let bench = try AWSBench(kind)
        try mayUseEveryKey(bench)
        guard let (here, away) = try key(bench) else { return }
        #expect(away == here.replacingOccurrences(of: ":eu-central-1:", with: ":us-east-1:"))
        let (home, other) = (try bench.provider(["key": here]).provider, try bench.provider(["key": away]).provider)
        let (first, second) = (try await AWSBench.wrap(home), try await AWSBench.wrap(other))
        #expect(first.providerKeyID.hasPrefix(here) && second.providerKeyID.hasPrefix(away))
        for wrapped in [first, second] {
            #expect(try await AWSBench.opens(wrapped, home))
            #expect(try await AWSBench.opens(wrapped, other))
        }
        // Each answers in its own region and for itself; another context opens in neither.
        #expect(try await other.describeKey(AWSBench.call()).id.hasPrefix(away))
        for provider in [home, other] {
            await refuses(.dataNotAuthentic, "another instance") { _ = try await AWSBench.opens(first, provider, 8) }
        }
    }

    @Test(.enabled(if: LocalCloud.isInstalled(.strict), "boto3 is not installed"))
    func aReplicaIsShutAndTurnedForItself() async throws {
        let bench = try AWSBench(.strict)
        try mayUseEveryKey(bench)
        let (here, away) = try #require(try key(bench))
        let (home, other) = (try bench.provider(["key": here]).provider, try bench.provider(["key": away]).provider)
        let wrapped = try await AWSBench.wrap(home)
        // A region that is shut, and another that goes on.
        try bench.cloud.boto("kms", "disable_key", ["KeyId": here])
        await refuses(.providerDenied, "disabled") { _ = try await AWSBench.opens(wrapped, home) }
        #expect(try await AWSBench.opens(wrapped, other))
        #expect(
            try await other.describeKey(AWSBench.call()).summary.contains("a replica of the key in \"eu-central-1\""))
        try bench.cloud.boto("kms", "enable_key", ["KeyId": here])
        // The material is turned where the key was made, for all of them.
        #expect(throws: CloudError.self) {
            try bench.cloud.boto("kms", "rotate_key_on_demand", ["KeyId": away], region: Self.away)
        }
        let before = try await other.describeKey(AWSBench.call()).id
        try bench.cloud.boto("kms", "rotate_key_on_demand", ["KeyId": here])
        #expect(try await other.describeKey(AWSBench.call()).id != before)
        #expect(try await AWSBench.opens(wrapped, other))
    }

    /// A request goes to the region of the key's ARN, and only an answer for that very ARN counts.
    @Test(.enabled(if: LocalCloud.isInstalled(.strict), "boto3 is not installed"))
    func onlyTheRegionThatWasAskedMayAnswer() async throws {
        let bench = try AWSBench(.strict)
        try mayUseEveryKey(bench)
        let (here, _) = try #require(try key(bench))
        let home = try bench.provider(["key": here]).provider
        let wrapped = try await AWSBench.wrap(home)
        try bench.cloud.fault("other-region", on: "Encrypt")
        await refuses(.providerAnswerInvalid, ":us-east-1:") { _ = try await AWSBench.wrap(home) }
        try bench.cloud.fault("other-region", on: "Decrypt")
        await refuses(.providerAnswerInvalid, ":us-east-1:") { _ = try await AWSBench.opens(wrapped, home) }
        await refuses(.providerMisconfigured, "the key is in eu-central-1") {
            do throws(AWSError) {
                _ = try AWSKMSSettings(["key": here, "region": Self.away])
            } catch { throw error.forHost }
        }
    }

    @Test(.enabled(if: LocalCloud.isInstalled(.strict), "boto3 is not installed"))
    func keysThatAreNoReplicasOpenNothingOfEachOther() async throws {
        let bench = try AWSBench(.strict)
        try mayUseEveryKey(bench)
        let (here, away) = try #require(try key(bench))
        let other = try arn(
            try bench.cloud.boto("kms", "create_key", ["MultiRegion": true], region: Self.away), "KeyMetadata")
        let single = try bench.cloud.fact("key")
        let wrapped = try await AWSBench.wrap(try bench.provider(["key": here]).provider)
        _ = try bench.cloud.takeLog()
        let account = away.replacingOccurrences(of: "111122223333", with: "444455556666")
        let elsewhere = single.replacingOccurrences(of: ":eu-central-1:", with: ":us-east-1:")
        for (key, wrap) in [(other, here), (account, here), (single, here), (elsewhere, single)] {
            let provider = try bench.provider(["key": key]).provider
            let named = WrappedKey(ciphertext: wrapped.ciphertext, providerKeyID: wrap)
            await refuses(.providerKeyUnknown, "it is under") { _ = try await AWSBench.opens(named, provider) }
        }
        // That is known without asking anybody.
        #expect(try bench.cloud.takeLog().isEmpty)
    }

    /// So that nothing of this can be shown with it.
    @Test(.enabled(if: LocalCloud.isInstalled(.moto), "moto is not installed"))
    func motoHasNoSuchKeys() throws {
        let made = try AWSBench(.moto).cloud.boto("kms", "create_key", ["MultiRegion": true])
        let arn = try arn(made, "KeyMetadata")
        #expect(arn.contains("key/mrk-"))
        #expect(throws: AWSError.self) { try KeyARN(arn) }
        #expect(Difference.why(.moto, Difference.replicas) != nil)
    }
}
