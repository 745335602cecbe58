internal import Foundation
internal import KeyModel
internal import PluginConformance
internal import PluginKit
internal import ProviderHost
internal import Testing
internal import ToolTesting

/// KMS v2 plugins as providers, by gRPC's own stack.
@Suite(.serialized)
struct KMSv2ProviderTests {
    /// A plugin that runs, and a provider that reaches it.
    struct Endpoint {
        let scratch: HostScratch
        let plugin: TalkingProgram
        let provider: GuardedProvider

        init(_ way: String = "", deadline: Int = 30) throws {
            scratch = try HostScratch()
            try "key-1\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
            plugin = try Self.start(scratch, way)
            let socket = try ProviderSocket(endpoint: "unix://\(scratch.file("socket"))", users: [geteuid()])
            let inner = KMSv2Provider(name: try Sample.name, socket: socket, pollPause: .milliseconds(5))
            provider = GuardedProvider(inner, name: try Sample.name, deadline: .seconds(deadline))
        }

        static func start(_ scratch: HostScratch, _ way: String) throws -> TalkingProgram {
            let plugin = try TalkingProgram("kms-plugin", [scratch.file("socket"), scratch.file("key"), way])
            guard try plugin.line() == "ready" else { throw EndToEndError("the plugin does not start") }
            return plugin
        }

        func turnKey(to name: String) throws {
            try "\(name)\n".write(toFile: scratch.file("key"), atomically: true, encoding: .utf8)
        }
    }

    @Test
    func itKeepsWhatAProviderPromises() async throws {
        let endpoint = try Endpoint()
        let suite = ProviderConformance(endpoint.provider, binding: try Sample.binding, tellsUnknownKeys: false)
        #expect(await suite.run().filter { !$0.isPass }.map(\.description) == [])
    }

    @Test
    func keyIDAndAnnotationsAreKeptByteForByte() async throws {
        let endpoint = try Endpoint()
        let wrapped = try await endpoint.provider.wrap(Sample.material(), binding: try Sample.binding, Sample.call)
        #expect(wrapped.providerKeyID == "key-1")
        #expect(wrapped.annotations == ["version.kms.example": [0, 0xFF, 0x80], "empty.kms.example": []])
        let back = try await endpoint.provider.unwrap(wrapped, binding: try Sample.binding, Sample.call)
        let isSame = back.isEqual(to: Sample.material())
        #expect(isSame)
    }

    @Test
    func aTurnedKeyIsSeenOnceTwoPollsAgree() async throws {
        let endpoint = try Endpoint()
        let binding = try Sample.binding
        let old = try await endpoint.provider.wrap(Sample.material(), binding: binding, Sample.call)
        try endpoint.turnKey(to: "key-2")
        #expect(try await endpoint.provider.describeKey(Sample.call).id == "key-2")
        let new = try await endpoint.provider.wrap(Sample.material(), binding: binding, Sample.call)
        #expect(new.providerKeyID == "key-2")
        for wrapped in [old, new] {
            let back = try await endpoint.provider.unwrap(wrapped, binding: binding, Sample.call)
            let isSame = back.isEqual(to: Sample.material())
            #expect(isSame)
        }
    }

    @Test
    func aStatusThatLagsForOnePollIsWaitedFor() async throws {
        let endpoint = try Endpoint("lags")
        let binding = try Sample.binding
        _ = try await endpoint.provider.wrap(Sample.material(), binding: binding, Sample.call)
        try endpoint.turnKey(to: "key-2")
        #expect(
            try await endpoint.provider.wrap(Sample.material(), binding: binding, Sample.call).providerKeyID == "key-2")
    }

    @Test
    func aKeyThatWasLeftDoesNotComeBack() async throws {
        let endpoint = try Endpoint()
        _ = try await endpoint.provider.describeKey(Sample.call)
        try endpoint.turnKey(to: "key-2")
        _ = try await endpoint.provider.describeKey(Sample.call)
        try endpoint.turnKey(to: "key-1")
        let error = try await Sample.failure { _ = try await endpoint.provider.describeKey(Sample.call) }
        #expect(error.code == .providerAnswerInvalid && error.message.contains("went back"))
    }

    @Test
    func aRestartedPluginIsReachedAgain() async throws {
        let endpoint = try Endpoint()
        let binding = try Sample.binding
        let wrapped = try await endpoint.provider.wrap(Sample.material(), binding: binding, Sample.call)
        endpoint.plugin.kill()
        let error = try await Sample.failure {
            _ = try await endpoint.provider.unwrap(wrapped, binding: binding, Sample.call)
        }
        #expect(error.code == .providerUnavailable)
        let second = try Endpoint.start(endpoint.scratch, "")
        let back = try await endpoint.provider.unwrap(wrapped, binding: binding, Sample.call)
        let isSame = back.isEqual(to: Sample.material())
        #expect(isSame)
        second.kill()
    }

    static let ways: [HostilePluginTests.Case] = [
        .init("flip-flop", .providerAnswerInvalid), .init("version-changes", .providerAnswerInvalid),
        .init("wrong-version", .providerAnswerInvalid), .init("unwell", .providerUnavailable),
        .init("health-OK", .providerUnavailable), .init("no-health", .providerUnavailable),
        .init("long-health", .providerUnavailable), .init("no-key-id", .providerAnswerInvalid),
        .init("long-key-id", .providerAnswerInvalid), .init("other-key-id", .providerAnswerInvalid),
        .init("long-ciphertext", .providerAnswerInvalid), .init("empty-ciphertext", .providerAnswerInvalid),
        .init("plaintext", .providerAnswerInvalid), .init("large-annotations", .providerAnswerInvalid),
        .init("unqualified-annotation", .providerAnswerInvalid), .init("secret-annotation", .providerAnswerInvalid),
        .init("garbage", .providerAnswerInvalid), .init("denied-decrypt", .providerDenied),
        .init("other-plaintext", .providerAnswerInvalid), .init("short-plaintext", .providerAnswerInvalid),
        .init("empty-plaintext", .providerAnswerInvalid), .init("hang-status", .providerUnavailable),
        // Each of its answers is in time, all of them together are not.
        .init("slow", .providerUnavailable),
    ]

    @Test(arguments: ways)
    func whatBreaksTheRulesIsRefused(_ way: HostilePluginTests.Case) async throws {
        let endpoint = try Endpoint(way.way, deadline: ["hang-status": 2, "slow": 1][way.way] ?? 30)
        let binding = try Sample.binding
        let error = try await Sample.failure {
            _ = try await endpoint.provider.wrap(Sample.material(), binding: binding, Sample.call)
        }
        #expect(error.code == way.code, "\(error.message)")
        #expect(!error.message.contains("\u{1B}") && error.message.count < 1000)
    }

    @Test
    func endpointsThatAreNotProtectedAreRefused() throws {
        for text in [
            "unix:///@abstract", "unix://relative", "tcp://localhost:1",
            "unix:///" + String(repeating: "x", count: 120),
        ] {
            #expect(throws: ProviderError.self) { try ProviderSocket(endpoint: text, users: [0]) }
        }
    }

    @Test(.enabled(if: geteuid() == 0, "only root can be refused as a stranger here"))
    func aStrangersSocketIsRefused() async throws {
        let endpoint = try Endpoint()
        let socket = try ProviderSocket(endpoint: "unix://\(endpoint.scratch.file("socket"))", users: [12345])
        let provider = KMSv2Provider(name: try Sample.name, socket: socket)
        let error = try await Sample.failure { _ = try await provider.describeKey(Sample.call) }
        #expect(error.code == .providerDenied)
        #expect(chown(endpoint.scratch.file("socket"), 12345, 0) == 0)
        // The file's owner fits now, but root listens behind it.
        let again = try await Sample.failure { _ = try await provider.describeKey(Sample.call) }
        #expect(again.code == .providerDenied && again.message.contains("listens"))
    }
}
