import AWSKMS
import AWSNames
import CloudTesting
import Foundation
import KeyModel
import PluginConformance
import PluginKit
import ProviderHTTP
import Testing

/// The same suites on every service there is, but for each ``Difference``.
@Suite(.serialized)
struct ServiceTests {
    static let kinds: [LocalCloud.Kind] = [.moto, .ministack, .strict].filter(LocalCloud.isInstalled)

    @Test(.enabled(if: !kinds.isEmpty, "no service is installed"), arguments: kinds)
    func keepsWhatProvidersPromise(kind: LocalCloud.Kind) async throws {
        let bench = try AWSBench(kind)
        let suite = ProviderConformance(try bench.provider().provider, binding: try AWSBench.binding())
        for result in await suite.run() {
            let line = "\(kind.rawValue): \(result.name): \(result.failure ?? "passes")"
            #expect((result.failure != nil) == (Difference.why(kind, result.name) != nil), Comment(rawValue: line))
        }
    }

    @Test(.enabled(if: !kinds.isEmpty, "no service is installed"), arguments: kinds)
    func testsAKeyLineByLine(kind: LocalCloud.Kind) async throws {
        let checks = try await AWSBench(kind).provider().provider.test(AWSBench.call())
        #expect(checks.count == 13)
        for check in checks {
            let expected: ProviderCheck.Outcome = Difference.why(kind, check.name) == nil ? .pass : .fail
            #expect(check.outcome == expected, Comment(rawValue: "\(kind.rawValue): \(check.name): \(check.remark)"))
        }
    }

    @Test(.enabled(if: LocalCloud.isInstalled(.moto), "moto is not installed"))
    func otherToolsOpenWhatItWraps() async throws {
        let bench = try AWSBench(.moto)
        let wrapped = try await AWSBench.wrap(try bench.provider().provider)
        let context = AWSKMSProvider.encryptionContext(try AWSBench.binding())
        let blob = Data(wrapped.ciphertext).base64EncodedString()
        let arguments: [String: Any] = [
            "CiphertextBlob": blob, "KeyId": try bench.cloud.fact("key"), "EncryptionContext": context,
        ]
        let opened = try bench.cloud.boto("kms", "decrypt", arguments)
        #expect(opened["Plaintext"] as? String == Data(AWSBench.material).base64EncodedString())
        #expect(throws: CloudError.self) {
            try bench.cloud.boto("kms", "decrypt", arguments.merging(["EncryptionContext": ["a": "b"]]) { $1 })
        }
        let printed = try bench.commandLine(Data(wrapped.ciphertext), context: context)
        #expect(printed == Data(AWSBench.material).base64EncodedString())
    }

    @Test(.enabled(if: LocalCloud.isInstalled(.ministack), "ministack is not installed"))
    func tellsStatesOfKeysApart() async throws {
        let bench = try AWSBench(.ministack)
        let (provider, _) = try bench.provider()
        let wrapped = try await AWSBench.wrap(provider)
        let key = try bench.cloud.fact("key")
        try bench.cloud.boto("kms", "disable_key", ["KeyId": key])
        await refuses(.providerDenied, "disabled") { _ = try await AWSBench.opens(wrapped, provider) }
        #expect(try await provider.describeKey(AWSBench.call()).isUsable == false)
        try bench.cloud.boto("kms", "enable_key", ["KeyId": key])
        #expect(try await AWSBench.opens(wrapped, provider))
        try bench.cloud.boto("kms", "schedule_key_deletion", ["KeyId": key, "PendingWindowInDays": 7])
        await refuses(.providerDenied, "deletion") { _ = try await AWSBench.opens(wrapped, provider) }
        #expect(try await provider.describeKey(AWSBench.call()).summary.contains("will be deleted"))
    }

    @Test(.enabled(if: LocalCloud.isInstalled(.moto), "moto is not installed"))
    func motoTurnsNoMaterial() async throws {
        let bench = try AWSBench(.moto)
        let (provider, _) = try bench.provider()
        let before = try await provider.describeKey(AWSBench.call()).id
        try bench.cloud.boto("kms", "rotate_key_on_demand", ["KeyId": try bench.cloud.fact("key")])
        let isSame = try await provider.describeKey(AWSBench.call()).id == before
        #expect(isSame == (Difference.why(.moto, Difference.material) != nil))
    }

    @Test(.enabled(if: LocalCloud.isInstalled(.ministack), "ministack is not installed"))
    func ministackTurnsNoMaterial() throws {
        let bench = try AWSBench(.ministack)
        let key = try bench.cloud.fact("key")
        var refusal = ""
        do { try bench.cloud.boto("kms", "rotate_key_on_demand", ["KeyId": key]) } catch let error as CloudError {
            refusal = error.description
        }
        let isRefused = refusal.contains("Unknown action: RotateKeyOnDemand")
        #expect(isRefused == (Difference.why(.ministack, Difference.material) != nil), "\(refusal)")
    }
}

func refuses(
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

extension AWSBench {
    /// What AWS's command line makes of a wrap.
    func commandLine(_ blob: Data, context: [String: String]) throws -> String {
        let file = FileManager.default.temporaryDirectory.appending(path: "keyturn-wrap-\(UUID().uuidString)")
        try blob.write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(filePath: LocalCloud.python)
        process.arguments = [
            "-m", "awscli", "kms", "decrypt", "--ciphertext-blob", "fileb://\(file.path)", "--key-id",
            try cloud.fact("key"),
            "--encryption-context", String(decoding: try JSONEncoder().encode(context), as: UTF8.self),
            "--query", "Plaintext", "--output", "text", "--endpoint-url", cloud.url, "--region", "eu-central-1",
        ]
        process.environment = ["PATH": "/usr/bin:/bin"].merging(try administrator()) { $1 }
        process.standardOutput = output
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: text, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Keys of the administrator.
    private func administrator() throws -> [String: String] {
        let made = try cloud.boto("iam", "create_access_key", ["UserName": "administrator"])
        let keys = made["AccessKey"] as? [String: Any] ?? [:]
        return [
            "AWS_ACCESS_KEY_ID": keys["AccessKeyId"] as? String ?? "",
            "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"] as? String ?? "",
        ]
    }
}
