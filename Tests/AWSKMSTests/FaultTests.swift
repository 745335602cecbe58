import AWSKMS
import CloudTesting
import Foundation
import PluginKit
import ProviderHTTP
import Testing

/// Faults between us and the service: what is tried again, how often, and what is said in the end.
@Suite(.serialized, .enabled(if: LocalCloud.isInstalled(.strict), "boto3 is not installed"))
struct FaultTests {
    @Test func passingFaultsAreTriedAgain() async throws {
        let bench = try AWSBench(.strict)
        let (provider, _) = try bench.provider()
        let wrapped = try await AWSBench.wrap(provider)
        let faults = [
            "throttle", "internal", "unavailable", "dependency", "html503", "html200", "badjson", "empty", "truncate",
            "reset-before", "reset-after",
        ]
        for fault in faults {
            _ = try bench.cloud.takeLog()
            try bench.cloud.fault(fault, on: "Decrypt", times: 2)
            #expect(try await AWSBench.opens(wrapped, provider), Comment(rawValue: fault))
            let log = try bench.cloud.takeLog()
            #expect(log.map(\.action) == ["Decrypt", "Decrypt", "Decrypt"], Comment(rawValue: fault))
            #expect(log.map(\.fault) == [fault, fault, nil], Comment(rawValue: fault))
        }
    }

    @Test(arguments: [
        ("throttle", ProviderError.Code.providerUnavailable, "throttles"), ("internal", .providerUnavailable, "now"),
        ("html503", .providerUnavailable, "status 503"), ("reset-before", .providerUnavailable, "cannot reach"),
        ("badjson", .providerAnswerInvalid, "no answer"), ("html200", .providerAnswerInvalid, "no answer"),
        ("empty", .providerAnswerInvalid, "no answer"), ("great", .providerUnavailable, "more than"),
    ])
    func lastingFaultsEndAfterThreeAttempts(fault: String, code: ProviderError.Code, part: String) async throws {
        let bench = try AWSBench(.strict)
        let (provider, _) = try bench.provider()
        let wrapped = try await AWSBench.wrap(provider)
        _ = try bench.cloud.takeLog()
        try bench.cloud.fault(fault, on: "Decrypt", times: 9)
        await refuses(code, part) { _ = try await AWSBench.opens(wrapped, provider) }
        let asked = try bench.cloud.takeLog().map(\.action)
        #expect(asked == ["Decrypt", "Decrypt", "Decrypt"], Comment(rawValue: "\(asked)"))
        #expect(try await AWSBench.opens(wrapped, provider))
    }

    @Test(arguments: [
        ("disabled", ProviderError.Code.providerDenied, "disabled"), ("deletion", .providerDenied, "deletion"),
        ("denied", .providerDenied, "the permission is what is missing"), ("namespaced", .providerDenied, "disabled"),
        ("limit", .providerUnavailable, "limit"), ("redirect", .providerAnswerInvalid, "302"),
        ("wrong-key", .providerAnswerInvalid, "not for"),
    ])
    func refusalsAreNotTriedAgain(fault: String, code: ProviderError.Code, part: String) async throws {
        let bench = try AWSBench(.strict)
        let (provider, _) = try bench.provider()
        let wrapped = try await AWSBench.wrap(provider)
        _ = try bench.cloud.takeLog()
        try bench.cloud.fault(fault, on: "Decrypt", times: 9)
        await refuses(code, part) { _ = try await AWSBench.opens(wrapped, provider) }
        // Whether the key can be described tells the causes of a denial apart.
        let asked = try bench.cloud.takeLog().map(\.action)
        #expect(asked == (fault == "denied" ? ["Decrypt", "DescribeKey"] : ["Decrypt"]))
    }

    @Test func anEndedTokenIsRenewedOnce() async throws {
        let bench = try AWSBench(.strict)
        let (provider, _) = try bench.provider()
        let wrapped = try await AWSBench.wrap(provider)
        _ = try bench.cloud.takeLog()
        try bench.cloud.fault("expired", on: "Decrypt")
        #expect(try await AWSBench.opens(wrapped, provider))
        #expect(try bench.cloud.takeLog().map(\.action) == ["Decrypt", "AssumeRole", "Decrypt"])
        try bench.cloud.fault("expired", on: "Decrypt", times: 9)
        await refuses(.providerDenied, "does not accept the credentials") {
            _ = try await AWSBench.opens(wrapped, provider)
        }
        #expect(try bench.cloud.takeLog().map(\.action) == ["Decrypt", "AssumeRole", "Decrypt"])
    }

    @Test func aWrongAnswerToWrapIsNeverHandedOut() async throws {
        let bench = try AWSBench(.strict)
        let (provider, _) = try bench.provider()
        try bench.cloud.fault("other-plaintext", on: "Decrypt")
        await refuses(.providerAnswerInvalid, "something else") { _ = try await AWSBench.wrap(provider) }
        try bench.cloud.fault("wrong-key", on: "Encrypt")
        await refuses(.providerAnswerInvalid, "not for") { _ = try await AWSBench.wrap(provider) }
    }

    @Test func aStallLeavesTimeForAnotherAttempt() async throws {
        let bench = try AWSBench(.strict)
        let (provider, _) = try bench.provider()
        let wrapped = try await AWSBench.wrap(provider)
        _ = try bench.cloud.takeLog()
        try bench.cloud.fault("stall", on: "Decrypt", value: 60)
        #expect(try await AWSBench.opens(wrapped, provider))
        #expect(try bench.cloud.takeLog().map(\.fault) == ["stall", nil])
    }

    @Test func theServiceSaysHowLongToWait() async throws {
        let bench = try AWSBench(.strict)
        var surroundings = Surroundings(environment: try bench.environment())
        surroundings.chance = { 0 }
        let (provider, _) = try bench.provider(surroundings: surroundings)
        let wrapped = try await AWSBench.wrap(provider)
        _ = try bench.cloud.takeLog()
        try bench.cloud.fault("throttle-pause", on: "Decrypt")
        #expect(try await AWSBench.opens(wrapped, provider))
        let log = try bench.cloud.takeLog()
        #expect(log.count == 2)
        #expect(log[1].seconds - log[0].seconds >= 0.69)
    }

    @Test func skewOfTheServiceIsLearntFromItsAnswer() async throws {
        let bench = try AWSBench(.strict)
        let (provider, context) = try bench.provider()
        _ = try await AWSBench.wrap(provider)
        try bench.cloud.fault("skew", on: "Encrypt", value: 200)
        _ = try await AWSBench.wrap(provider)
        #expect(abs(context.clockOffset - 200) < 30)
    }

    @Test func noSecretShowsInAnyMessage() async throws {
        let bench = try AWSBench(.strict)
        let (provider, _) = try bench.provider()
        let wrapped = try await AWSBench.wrap(provider)
        let secret = try bench.cloud.fact("secret_access_key")
        try bench.cloud.fault("signature", on: "Decrypt", times: 1)
        do {
            _ = try await AWSBench.opens(wrapped, provider)
            Issue.record("it is not refused")
        } catch let error as ProviderError {
            let text = error.message + (error.hint ?? "")
            #expect(!text.contains("SECRET") && !text.contains(secret))
        }
    }

    @Test func aServerThatIsNotThereIsAnOutage() async throws {
        let bench = try AWSBench(.strict)
        let surroundings = try bench.surroundings(["AWS_ENDPOINT_URL": "http://127.0.0.1:1"])
        await refuses(.providerUnavailable, "cannot reach") {
            _ = try await AWSBench.wrap(try bench.provider(surroundings: surroundings).provider)
        }
    }
}
