internal import ControlStore
internal import KeyModel
internal import Rotation
internal import Testing

extension Bench {
    /// A bench whose keyring lies under a customer's key.
    static func held() async throws -> Bench {
        let bench = try await adopted(rows: 2)
        try await bench.declareOuter()
        try await bench.saveOuter()
        try await bench.rewrap()
        return bench
    }

    /// Declares the other provider, and the keyring under it.
    func declareOuter(kind: String = "plugin", _ settings: [String: String] = ["key": "one"]) async throws {
        try await configure { configuration in
            configuration.providers = [ProviderDeclaration(name: .outer, kind: kind, settings: settings)]
            configuration.keyrings[0].provider = .outer
        }
    }

    /// Records that the other provider was tested and saved as it is declared by default.
    func saveOuter() async throws {
        let fingerprint = ProviderDeclaration(name: .outer, kind: "plugin", settings: ["key": "one"]).fingerprint
        let now = clock.now()
        try await control.write { session in
            try session.record(
                BYOKProviderRecord(
                    provider: .outer, testedSettings: fingerprint, testedAt: now, isPassed: true, checks: "[]",
                    savedSettings: fingerprint, savedAt: now, savedBy: "tester"))
        }
    }

    func startRewrap(makesNewRoot: Bool = false) async throws -> RunRecord {
        let engine = try await engine()
        let request = PlanRequest(kind: .rewrap, keyring: .main, makesNewRoot: makesNewRoot)
        return try await engine.start(try await engine.plan(request), for: request)
    }

    func rewrap() async throws {
        let run = try await drive(try await startRewrap().id)
        #expect(run.state == .done, "\(run.message ?? "")")
    }

    /// Drives a run until it stands in a phase, of which nothing is done yet.
    func drive(_ run: Int64, upTo phase: RunPhase) async throws {
        let interrupt = Interrupt()
        hook.at(.phaseRecorded, always: true) { [application] in
            let present = try application.text("SELECT phase FROM keyturn_runs WHERE id = \(run)")
            if present == phase.rawValue { interrupt.set() }
        }
        #expect(try await drive(run, interrupt: interrupt).phase == phase)
        hook.clear()
    }

    func refusals(_ kind: RunKind) async throws -> [String] {
        try await engine().plan(PlanRequest(kind: kind, keyring: .main)).refusals
    }

    /// How many wrapped copies a provider has made that are there.
    func copies(_ provider: String) throws -> Int {
        try application.number("SELECT count(*) FROM keyturn_wraps WHERE provider = '\(provider)'")
    }
}

extension Name {
    static let local: Name = {
        guard let name = try? Name("local") else { preconditionFailure("a name") }
        return name
    }()
}
