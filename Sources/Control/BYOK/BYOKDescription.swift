internal import AWSNames
internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import Rotation

/// What the owner of a key has to set up.
struct BYOKDescription {
    private let externalID: String
    private var role: String?
    private var texts: [(name: String, title: String, text: String)] = []
    private var notes: [String] = []

    init(_ call: Invocation) async throws {
        let made = UUID().uuidString.lowercased()
        let record = try await call.instance.context.control.write { session in
            let record = try session.beginBYOK(externalID: made)
            try call.alongside(session)
            return record
        }
        externalID = record.externalID
        if call.arguments.text("provider") == "transit" {
            try describeTransit(call.arguments)
        } else {
            let described = try describeAWS(call.arguments)
            try await call.instance.context.control.write { try $0.recordDescribed(role: described) }
        }
    }

    func answer() -> Answer {
        var value: [String: FrameValue] = ["notes": .array(notes.map { .string($0) })]
        if let role {
            value["external_id"] = .string(externalID)
            value["role"] = .string(role)
        }
        for text in texts { value[text.name] = .string(text.text) }
        var lines: [String] = []
        for text in texts { lines += [text.title, ""] + text.text.split(separator: "\n").map(String.init) + [""] }
        return Answer(.map(value), [.lines(lines + notes)])
    }

    private mutating func describeAWS(_ arguments: Arguments) throws -> String {
        let key = try KeyARN(try arguments.required("key"))
        if let region = arguments.text("region"), region != key.region {
            throw ControlError(
                .callerUsage, "the region is \(quoted(region)), but the key is in \(key.region)",
                hint: "Leave region out, or give the key's own.")
        }
        let standard = "arn:\(key.partition.name):iam::\(key.account):role/\(CustomerPolicies.standardRole)"
        let role = try RoleARN(arguments.text("role") ?? standard)
        guard role.partition == key.partition else {
            throw ControlError(
                .callerUsage, "the role is in partition \(role.partition.name), the key in \(key.partition.name)")
        }
        guard let caller = arguments.text("principal") else {
            throw ControlError(
                .callerUsage, "byok.describe: \"principal\" is missing: whom is the role to trust?",
                hint: "Run \"aws sts get-caller-identity\" where Keyturn runs, and give its Arn.")
        }
        let policies = CustomerPolicies(
            key, principal: try CustomerPolicies.principal(for: caller), externalID: externalID,
            isFull: arguments.truth("full"))
        self.role = role.description
        texts = [
            ("permission_policy", "Permission policy of \(role.name):", policies.permission),
            ("trust_policy", "Trust policy of \(role.name), with the External ID of this instance:", policies.trust),
            ("declaration", "In keyturn.lua:", Self.declaration(key, role)),
        ]
        let difference = NameDifference(expected: CustomerPolicies.standardRole, given: role.name)
        if difference.isOnlyCase {
            notes += ["The role's name differs from the usual one in case alone:"] + difference.lines
        }
        if key.isMultiRegion {
            notes.append("The key may have replicas: let \"Resource\" name the ARN of each that may be needed as well.")
        }
        if arguments.truth("full") {
            notes += CustomerPolicies.unneeded.map { "\($0.action) \($0.meaning)." }
        }
        return role.description
    }

    private mutating func describeTransit(_ arguments: Arguments) throws {
        let (mount, key) = (arguments.text("mount") ?? "transit", try arguments.required("key"))
        for (name, text) in [("mount", mount), ("key", key)]
        where text.wholeMatch(of: /[A-Za-z0-9_.\/\-]{1,200}/) == nil || text.contains("..") {
            throw ControlError(.callerUsage, "\(name) is \(quoted(text)), which is no name of a transit engine's")
        }
        let actions = ["encrypt", "decrypt", "rewrap"].map {
            "path \"\(mount)/\($0)/\(key)\" { capabilities = [\"update\"] }"
        }
        let turning = [
            "# Only for \"keyturn rewrap --new-root\"; leave it out where the key is turned by its owner.",
            "path \"\(mount)/keys/\(key)/rotate\" { capabilities = [\"update\"] }",
        ]
        let policy = ["path \"\(mount)/keys/\(key)\" { capabilities = [\"read\"] }"] + actions + turning
        let declaration = """
            provider "customer" {
                kind = "plugin", plugin = "transit", address = "https://HOST:8200", mount = "\(mount)", key = "\(key)",
                role_id = "…", secret_id_file = "/etc/keyturn/secret-id",
            }
            """
        texts = [
            ("permission_policy", "Policy of the token or AppRole:", policy.joined(separator: "\n")),
            ("declaration", "In keyturn.lua:", declaration),
        ]
        notes = ["Make the key with: bao write -f \(mount)/keys/\(key) type=aes256-gcm96"]
    }

    private static func declaration(_ key: KeyARN, _ role: RoleARN) -> String {
        """
        provider "customer" {
            kind = "plugin", plugin = "aws-kms",
            key = "\(key)",
            role = "\(role)",
            environment = "HOME AWS_PROFILE",
        }
        """
    }
}
