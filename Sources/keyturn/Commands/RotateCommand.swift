internal import ArgumentParser
internal import ControlStore
internal import KeyModel
internal import Rotation
internal import Storage
internal import Terminal

/// What every command that drives a run takes.
struct DriveArguments: ParsableArguments {
    @Option(name: .long, help: "Rewrite at most so many rows a second.")
    var rowsPerSecond: Double?

    @Flag(name: .long, help: "End when the run waits for someone, instead of waiting too.")
    var noWait = false

    func validate() throws {
        if let rowsPerSecond, !(rowsPerSecond >= 1) { throw ValidationError("--rows-per-second is at least 1") }
    }

    /// Drives a run with progress on standard error, and reports how it was left.
    func drive(_ run: Int64, _ instance: OpenInstance, _ console: Console, _ interrupt: Interrupt) async throws
        -> Outcome
    {
        let options = DriveOptions(
            interrupt: interrupt, throttle: Throttle(rowsPerSecond: rowsPerSecond), waitsForPeople: !noWait,
            report: { console.show($0) }
        )
        let left: RunRecord
        do {
            left = try await instance.engine.drive(run, options)
        } catch {
            try await sayHowItWasLeft(run, instance, console)
            throw error
        }
        let history = try await instance.engine.runHistory(run)
        if left.state.isOpen {
            console.note("run \(run) stopped in \(left.phase.rawValue); go on with: keyturn run resume \(run)")
        }
        return Outcome(
            history.report, status: interrupt.isSet && left.state.isOpen ? .interrupted : ExitStatus(of: left))
    }
}

extension DriveArguments {
    /// Says how to go on with a run that something stopped.
    private func sayHowItWasLeft(_ run: Int64, _ instance: OpenInstance, _ console: Console) async throws {
        do {
            let left = try await instance.engine.runHistory(run).run
            guard left.state.isOpen else { return console.note("run \(run) has ended: \(left.state.rawValue)") }
            console.note(
                "run \(run) stopped in \(left.phase.rawValue); what was committed stays. Once the cause is gone, go on with: "
                    + "keyturn run resume \(run)"
            )
        } catch is any CodedError {
            console.note("run \(run) stopped, and the database cannot be asked how it was left")
        }
    }
}

extension ExitStatus {
    /// The exit code for a run as it was left.
    init(of run: RunRecord) {
        switch run.state {
        case .done, .paused, .waiting, .open: self = .ok
        case .cancelled, .doneWithExceptions, .needsOperator, .failed: self = .failed
        }
    }
}

/// `keyturn rotate`
struct RotateCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate", abstract: "Make a new key for a keyring and seal every value anew under it.",
        discussion: """
            Works while the application does; may be stopped or killed at any instant and resumed with "keyturn run \
            resume". Ends only when a full count finds nothing under an older key.
            """
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var driving: DriveArguments

    @Argument(help: "The keyring.")
    var keyring: String

    @Option(name: .long, help: "Insist on the plan with this hash, as \"keyturn plan\" printed it.")
    var plan: String?

    @Flag(name: .long, help: "The key has leaked: mark it compromised, cancel and replace a routine run.")
    var emergency = false

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: true)
        let request = PlanRequest(kind: .rotate, urgency: emergency ? .emergency : .routine, keyring: try Name(keyring))
        let made = try await instance.engine.plan(request)
        let question =
            emergency
            ? "This marks the active key of \"\(keyring)\" compromised and rewrites every value of it"
            : "This makes a new key for \"\(keyring)\" and rewrites every value of it"
        let run = try await start(made, request, instance, console, question: question, insistingOn: plan)
        return try await instance.locked { try await driving.drive(run.id, instance, console, interrupt) }
    }
}

/// `keyturn adopt`
struct AdoptCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "adopt", abstract: "Seal the plaintext of declared columns for the first time.",
        discussion: """
            The columns must be declared in keyturn.lua, all under one keyring; its first key is made where there is none. \
            From then on a fence refuses writers that do not seal (cores with exact key ids).
            """
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var driving: DriveArguments

    @Argument(help: "The columns, table.column.")
    var columns: [String]

    @Option(name: .long, help: "Insist on the plan with this hash.")
    var plan: String?

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: true)
        var records: [ColumnRecord] = []
        for text in columns { records.append(try await instance.engine.column(try ColumnPath(text))) }
        let keyrings = Set(records.map(\.declaration.keyring))
        guard let keyring = keyrings.first, keyrings.count == 1 else {
            throw CommandError(
                .callerUsage,
                "the columns belong to several keyrings: \(keyrings.sorted().map(\.description).joined(separator: ", "))",
                hint: "Adopt the columns of one keyring at a time.", status: .usage
            )
        }
        let request = PlanRequest(kind: .adopt, keyring: keyring, columnIDs: records.map(\.id))
        let made = try await instance.engine.plan(request)
        let question = "This seals the plaintext of \(columns.joined(separator: ", ")) under \"\(keyring)\""
        let run = try await start(made, request, instance, console, question: question, insistingOn: plan)
        return try await instance.locked { try await driving.drive(run.id, instance, console, interrupt) }
    }
}

/// Confirms a plan and records its run.
private func start(
    _ plan: Plan, _ request: PlanRequest, _ instance: OpenInstance, _ console: Console, question: String,
    insistingOn hash: String?
) async throws -> RunRecord {
    if let hash, hash != plan.hash {
        throw RotationError(
            .callerPlanStale, "the plan has changed: its hash is \(plan.hash), not \(quoted(hash))",
            hint: "Look at \"keyturn plan \(plan.keyring)\" again; nothing was changed."
        )
    }
    for warning in plan.warnings { console.note("warning: \(warning)") }
    if plan.refusals.isEmpty { try console.confirm(question, byTyping: plan.keyring) }
    return try await instance.locked { try await instance.engine.start(plan, for: request) }
}
