internal import AWSNames
internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import PluginKit
internal import Rotation

/// A declared provider on its way to hold the customer's keys.
struct BYOKProvider: Sendable {
    let name: Name
    let declaration: ProviderDeclaration
    let provider: any KeyProvider
    private let call: Invocation

    /// How old a test may be when its provider is saved.
    private static let freshness = Duration.seconds(600)
    private static let patience = Duration.seconds(60)

    init(_ call: Invocation) async throws {
        self.call = call
        name = try call.arguments.name("name")
        let declared = call.instance.configuration.providers
        guard let declaration = declared.first(where: { [name] in $0.name == name }),
            let provider = call.instance.context.providers[name]
        else {
            throw ControlError(
                .callerNotFound, "keyturn.lua declares no provider \"\(name)\"",
                hint: declared.isEmpty
                    ? "\"keyturn byok describe\" prints the declaration."
                    : "It declares \(declared.map(\.name.description).joined(separator: ", ")).")
        }
        guard !declaration.isKeyFile else {
            throw ControlError(
                .callerUsage, "provider \"\(name)\" is a key file of this machine, which no customer brings")
        }
        self.declaration = declaration
        self.provider = provider
    }

    /// A hash over everything that the declaration says.
    var settings: String { declaration.fingerprint }

    /// The keyrings that the configuration puts under it.
    var keyrings: [Name] { call.instance.configuration.keyrings.filter { $0.provider == name }.map(\.name).sorted() }

    /// The name of its key, short enough to be typed: what follows the last slash.
    func keyName() async throws -> String {
        let id = try await provider.describeKey(ProviderCall(deadline: .seconds(10), idempotencyKey: "byok-\(name)")).id
        let bare = id.split(separator: "#").first ?? ""
        let last = bare.split(separator: "/").last ?? bare
        return last.split(separator: ":").first.map(String.init) ?? id
    }

    func test() async throws -> Answer {
        let control = call.instance.context.control
        let described = try await control.read { try $0.byok()?.describedRole }
        let tested = try await provider.test(
            ProviderCall(deadline: Self.patience, idempotencyKey: "byok-test-\(UUID().uuidString)"))
        let checks = roleCheck(described) + tested
        let isPassed = !checks.contains { $0.outcome == .fail }
        let values = FrameValue.array(
            checks.map {
                ["name": .string($0.name), "outcome": .string($0.outcome.rawValue), "remark": .string($0.remark)]
            })
        let now = call.instance.context.now()
        try await control.write { [name, settings] session in
            let old = try session.byokProvider(name)
            try session.record(
                BYOKProviderRecord(
                    provider: name, testedSettings: settings, testedAt: now, isPassed: isPassed, checks: values.json(),
                    savedSettings: old?.savedSettings, savedAt: old?.savedAt, savedBy: old?.savedBy))
            try call.alongside(session)
        }
        let rows = checks.map { [$0.name, $0.outcome.rawValue, $0.remark] }
        return Answer(values, [.table(nil, ["check", "outcome", "remark"], rows: rows)], isGood: isPassed)
    }

    /// STS compares names exactly; two that differ in case alone look the same to people.
    private func roleCheck(_ described: String?) -> [ProviderCheck] {
        guard let described, let role = declaration.settings["role"] else { return [] }
        let difference = NameDifference(expected: described, given: role)
        guard difference.isOnlyCase else { return [] }
        let remark = (["the role differs from the described one in case alone"] + difference.lines).joined(
            separator: "\n")
        return [ProviderCheck(name: "role's name", outcome: .fail, remark: remark)]
    }

    func proposeSaving() async throws -> Proposal {
        let control = call.instance.context.control
        let (record, allowsReturn) = try await control.read { [name] session in
            (try session.byokProvider(name), try session.byok()?.allowsReturn ?? false)
        }
        let age = record.map { call.instance.context.now().since($0.testedAt) }
        guard let record, record.isPassed, record.testedSettings == settings, let age, age <= Self.freshness else {
            throw RotationError(
                .callerPolicyForbids,
                "provider \"\(name)\" has passed no test with these settings in the last ten minutes",
                hint: "Run \"keyturn byok test \(name)\" first.")
        }
        let names = keyrings.map { "\"\($0)\"" }.joined(separator: ", ")
        var proposal = Proposal(
            "This makes \"\(name)\" the holder of the keys of \(names.isEmpty ? "no keyring yet" : names)",
            byTyping: try await keyName(), facts: [settings])
        proposal.warnings = [
            allowsReturn
                ? "this instance allows a return to the built-in key"
                : "this is one-way: once byok.continue has run, the keys never go back under the built-in key",
            "the KMS must stay reachable: without it nothing opens once cache_ttl (\(cacheLifetime)) is over",
            "keyrings that keyturn.lua leaves under \"local\" stay under the built-in key: \(builtIn)",
            "if the owner disables the key or takes its use away, that takes effect within cache_ttl at the latest",
        ]
        return proposal
    }

    private var cacheLifetime: String { declaration.settings["cache_ttl"] ?? "1h" }

    private var builtIn: String {
        let names = call.instance.configuration.keyrings.filter { $0.provider.description == "local" }.map(\.name)
        return names.isEmpty ? "none" : names.sorted().map(\.description).joined(separator: ", ")
    }

    func save() async throws -> Answer {
        let (now, actor) = (call.instance.context.now(), call.actor)
        try await call.instance.context.control.write { [name, settings] session in
            guard var record = try session.byokProvider(name) else { return }
            record.savedSettings = settings
            record.savedAt = now
            record.savedBy = actor
            try session.record(record)
            try call.alongside(session)
        }
        return Answer(
            ["provider": .string(name.description), "keyrings": .array(keyrings.map { .string($0.description) })],
            [.lines(["\"\(name)\" is saved; go on with: keyturn byok continue \(name)"])])
    }

    /// Refuses a provider that was not saved with the settings that it has now.
    func demandSaved() async throws {
        let record = try await call.instance.context.control.read { [name] in try $0.byokProvider(name) }
        guard let saved = record?.savedSettings else {
            throw RotationError(
                .callerPolicyForbids, "provider \"\(name)\" is not saved",
                hint: "Run \"keyturn byok test \(name)\", then \"keyturn byok save \(name)\".")
        }
        guard saved == settings else {
            throw RotationError(
                .callerPolicyForbids, "the settings of provider \"\(name)\" are no longer those that were saved",
                hint: "Test and save it again.")
        }
    }
}
