internal import AWSNames
internal import KeyModel
package import PluginKit
internal import ProviderHTTP

/// The test before a key is trusted: every line is what the product will need of it.
extension AWSKMSProvider {
    /// Tries credentials, role, key, each operation and each protection, in this order; what cannot be tried after a failure
    /// is skipped.
    package func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] {
        var trial = KeyTrial(self, Deadline(after: call.deadline))
        await trial.run()
        return trial.checks
    }
}

/// One run of the test.
private struct KeyTrial {
    private(set) var checks: [ProviderCheck] = []
    private let probe: KeyProbe

    private static let names = [
        "credentials", "identity", "role", "role refuses without External ID", "role refuses another External ID",
        "key",
        "generate data key", "encrypt", "decrypt", "altered context refused", "re-encrypt", "latency", "clock",
    ]

    init(_ provider: AWSKMSProvider, _ deadline: Deadline) {
        probe = KeyProbe(provider: provider, deadline: deadline)
    }

    mutating func run() async {
        await runRole()
        // A role that is too open says nothing of the key; one that cannot be assumed does.
        if checks.count == 5 { await runKey() }
        for name in Self.names.dropFirst(checks.count) {
            checks.append(ProviderCheck(name: name, outcome: .skipped, remark: "a line above must pass first"))
        }
    }

    /// Adds the next line.
    ///
    /// - Returns: Whether it did not fail.
    private mutating func line(_ body: () async throws(AWSError) -> KeyProbe.Line) async -> Bool {
        let name = Self.names[checks.count]
        do throws(AWSError) {
            let line = try await body()
            checks.append(ProviderCheck(name: name, outcome: line.outcome, remark: line.remark))
        } catch {
            let remark = [error.message, error.hint].compactMap { $0 }.joined(separator: ". ")
            checks.append(ProviderCheck(name: name, outcome: .fail, remark: remark))
        }
        return checks.last?.outcome != .fail
    }

    private mutating func runRole() async {
        let probe = probe
        guard await line({ () async throws(AWSError) in try await probe.credentials() }),
            await line({ () async throws(AWSError) in try await probe.identity() }),
            await line({ () async throws(AWSError) in try await probe.role() })
        else { return }
        _ = await line { () async throws(AWSError) in try await probe.mustRefuse(nil, "without an External ID") }
        _ = await line { () async throws(AWSError) in
            try await probe.mustRefuse(KeyProbe.wrongID, "with another External ID")
        }
    }

    private mutating func runKey() async {
        let probe = probe
        guard await line({ () async throws(AWSError) in try await probe.key() }) else { return }
        _ = await line { () async throws(AWSError) in try await probe.generation() }
        var blob: Bytes = []
        guard
            await line({ () async throws(AWSError) in
                blob = try await probe.wrap()
                return (.pass, "\(blob.count) bytes")
            })
        else { return }
        _ = await line { () async throws(AWSError) in try await probe.unwrapping(blob) }
        _ = await line { () async throws(AWSError) in try await probe.mustNotUnwrap(blob) }
        _ = await line { () async throws(AWSError) in try await probe.rewrapping(blob) }
        _ = await line { () async throws(AWSError) in try await probe.latency(blob) }
        _ = await line { () async throws(AWSError) in probe.clock() }
    }
}

/// What the lines of the test do.
private struct KeyProbe {
    typealias Line = (outcome: ProviderCheck.Outcome, remark: String)

    let provider: AWSKMSProvider
    let deadline: Deadline

    static let wrongID = "00000000-0000-4000-8000-000000000000"
    private static let slow = Duration.milliseconds(100)
    private static let context = [
        "keyturn:instance": "test", "keyturn:keyring": "test", "keyturn:key": "00000000", "keyturn:format": "1",
    ]

    private var kms: KMSClient { provider.kms }

    private var material: SecretBytes { SecretBytes(copying: (0..<32).map { UInt8($0 * 7 + 1) }) }

    func credentials() async throws(AWSError) -> Line {
        (.pass, "from \(try await provider.base.current(deadline).credentials.source)")
    }

    func identity() async throws(AWSError) -> Line {
        (.pass, try await provider.sts.callerIdentity(provider.base, deadline))
    }

    func role() async throws(AWSError) -> Line {
        guard let role = provider.settings.role else {
            return (.skipped, "no role is given; the credentials themselves use the key")
        }
        _ = try await assume(role, provider.settings.externalID)
        return (.pass, role.description)
    }

    /// A role that anybody may assume who is trusted by name lets one customer's key be used for another's data.
    func mustRefuse(_ id: String?, _ how: String) async throws(AWSError) -> Line {
        guard let role = provider.settings.role, provider.settings.externalID != nil else {
            return (.skipped, "no role, or no External ID, is set up")
        }
        do throws(AWSError) {
            _ = try await assume(role, id)
        } catch {
            guard error.code == .providerDenied else { throw error }
            return (.pass, "refused, as it must be")
        }
        return (
            .fail,
            "\(role) can be assumed \(how). Put the condition StringEquals sts:ExternalId into its trust policy, as \"keyturn byok "
                + "describe\" prints it; without it others whom you trust could use your key"
        )
    }

    func key() async throws(AWSError) -> Line {
        let findings = KeyFindings(try await kms.describe(deadline), provider.settings.key)
        guard findings.refusals.isEmpty else { return (.fail, findings.refusals.joined(separator: "; ")) }
        return (.pass, (["enabled, symmetric, encrypts and decrypts"] + findings.warnings).joined(separator: "; "))
    }

    func generation() async throws(AWSError) -> Line {
        let made = try await kms.generateDataKey(context: Self.context, deadline)
        let back = try await kms.decrypt(made.wrapped, context: Self.context, deadline).plaintext
        let isSame = back.isEqual(to: SecretBytes(copying: made.plaintext))
        return isSame ? (.pass, "") : (.fail, "the key that was made comes back as another")
    }

    func wrap() async throws(AWSError) -> Bytes {
        try await kms.encrypt(material, context: Self.context, deadline)
    }

    func unwrapping(_ blob: Bytes) async throws(AWSError) -> Line {
        let back = try await kms.decrypt(blob, context: Self.context, deadline).plaintext
        return back.isEqual(to: material)
            ? (.pass, "the answers name the key") : (.fail, "what was wrapped comes back as something else")
    }

    func mustNotUnwrap(_ blob: Bytes) async throws(AWSError) -> Line {
        let altered = Self.context.merging(["keyturn:key": "00000001"]) { $1 }
        do throws(AWSError) {
            _ = try await kms.decrypt(blob, context: altered, deadline)
        } catch {
            guard error.code == .dataNotAuthentic else { throw error }
            return (.pass, "")
        }
        return (.fail, "a wrap opens in another context than its own: what answers is no KMS")
    }

    func rewrapping(_ blob: Bytes) async throws(AWSError) -> Line {
        let again = try await kms.reencrypt(blob, context: Self.context, deadline)
        let back = try await kms.decrypt(again, context: Self.context, deadline).plaintext
        return back.isEqual(to: material) ? (.pass, "") : (.fail, "it comes back as something else")
    }

    func latency(_ blob: Bytes) async throws(AWSError) -> Line {
        var times: [Duration] = []
        for _ in 0..<5 {
            let start = ContinuousClock.now
            _ = try await kms.decrypt(blob, context: Self.context, deadline)
            times.append(ContinuousClock.now - start)
        }
        times.sort()
        let text = "median \(Self.milliseconds(times[2])) ms, longest \(Self.milliseconds(times[4])) ms"
        let region = provider.settings.key.region
        if let home, home != region {
            return (
                .pass,
                "\(text): each call goes from \(quoted(home)) to \(region); a key in the same region answers sooner"
            )
        }
        guard times[2] > Self.slow else { return (.pass, text) }
        return (.pass, "\(text): slow; a key in this machine's own region answers sooner (this one is in \(region))")
    }

    /// The region that this machine is set up for; nil where nothing says it.
    private var home: String? {
        let surroundings = provider.context.surroundings
        return surroundings.variable("AWS_REGION") ?? surroundings.variable("AWS_DEFAULT_REGION")
    }

    func clock() -> Line {
        let offset = provider.context.clockOffset
        guard abs(offset) >= 60, abs(offset) < 1e12 else { return (.pass, "") }
        let way = offset > 0 ? "slow" : "fast"
        return (.pass, "this machine's clock is \(Int(abs(offset))) s \(way); signatures are corrected, but set it")
    }

    private func assume(_ role: RoleARN, _ id: String?) async throws(AWSError) -> AWSCredentials {
        let settings = provider.settings
        let assumption = STSClient.Assumption(
            role, session: settings.session, externalID: id, policy: SessionPolicy.text(for: settings.key), seconds: 900
        )
        return try await provider.sts.assume(assumption, provider.base, deadline)
    }

    private static func milliseconds(_ duration: Duration) -> Int64 {
        duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
    }
}
