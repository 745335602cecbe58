internal import ArgumentParser
internal import ControlStore
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Storage
internal import Terminal

/// What every command that drives a run takes.
struct DriveArguments: ParsableArguments {
    @Option(name: .long, help: "Rewrite at most so many rows a second.")
    var rowsPerSecond: Double?

    @Option(name: .long, help: "Write at most this share of the time, above 0 and at most 1.")
    var dutyCycle: Double = 1

    @Option(name: .long, help: "Stop, ready to be resumed, when a table has grown by so many MiB.")
    var maxExtraDisk: Int64?

    @Flag(name: .long, help: "End when the run waits for someone, instead of waiting too.")
    var noWait = false

    func validate() throws {
        if !(dutyCycle > 0 && dutyCycle <= 1) { throw ValidationError("--duty-cycle is above 0 and at most 1") }
        if let maxExtraDisk, !(1...(1 << 40)).contains(maxExtraDisk) {
            throw ValidationError("--max-extra-disk is a number of MiB, at least 1")
        }
        if let rowsPerSecond, !(rowsPerSecond >= 1) { throw ValidationError("--rows-per-second is at least 1") }
    }

    /// Records a run and drives it, under one lock, so that nobody else takes it up in between.
    ///
    /// - Parameters:
    ///   - plan: The plan, confirmed.
    ///   - request: What it was made for.
    ///   - instance: The instance.
    ///   - console: Where progress is shown.
    ///   - interrupt: Raised to stop after the batch in hand.
    ///   - patience: How long another process of the node may take to leave.
    /// - Returns: What the command came to.
    /// - Throws: ``ControlStoreError`` with `storeLeaseHeld`, or what stopped the run.
    func start(
        _ plan: Plan, _ request: PlanRequest, _ instance: OpenInstance, _ console: Console, _ interrupt: Interrupt,
        within patience: Duration = .zero
    ) async throws -> Outcome {
        try await instance.locked(within: patience) {
            let run = try await instance.engine.start(plan, for: request)
            return try await drive(run.id, instance, console, interrupt)
        }
    }

    /// Drives a run with progress on standard error, and reports how it was left.
    func drive(_ run: Int64, _ instance: OpenInstance, _ console: Console, _ interrupt: Interrupt) async throws
        -> Outcome
    {
        let options = DriveOptions(
            interrupt: interrupt, throttle: Throttle(rowsPerSecond: rowsPerSecond, dutyCycle: dutyCycle),
            maxExtraDisk: maxExtraDisk.map { $0 << 20 }, waitsForPeople: !noWait,
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

/// Implements `keyturn rotate`.
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

    /// How long an emergency waits for the process of a routine run to leave at its batch boundary.
    private static let longestTakeOver = Duration.seconds(60)

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: true)
        let request = PlanRequest(kind: .rotate, urgency: emergency ? .emergency : .routine, keyring: try Name(keyring))
        let made = try await instance.engine.plan(request)
        let question =
            emergency
            ? "This marks the active key of \"\(keyring)\" compromised and rewrites every value of it"
            : "This makes a new key for \"\(keyring)\" and rewrites every value of it"
        try confirm(made, console, question: question, insistingOn: plan)
        if emergency { try await instance.engine.askOpenRunToMakeWay() }
        return try await driving.start(
            made, request, instance, console, interrupt, within: emergency ? Self.longestTakeOver : .zero)
    }
}

/// Implements `keyturn adopt`.
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
        try confirm(made, console, question: question, insistingOn: plan)
        return try await driving.start(made, request, instance, console, interrupt)
    }
}

/// Implements `keyturn convert`.
struct ConvertCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert", abstract: "Move the values of columns to a keyring of another core.",
        discussion: """
            Whoever reads the columns must know the new format before the run starts. When it is done, name the new keyring in \
            the columns' declarations in keyturn.lua.
            """
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var driving: DriveArguments

    @Argument(help: "The columns, table.column, all of one keyring.")
    var columns: [String]

    @Option(name: .long, help: "The keyring that seals them afterwards.")
    var to: String

    @Option(
        name: .long,
        help: "What their values are bound to afterwards: none, column or row; default: column where the core can.")
    var context: BindingArgument?

    @Option(name: .long, help: "Insist on the plan with this hash.")
    var plan: String?

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: true)
        var ids: [Int64] = []
        for text in columns { ids.append(try await instance.engine.column(try ColumnPath(text)).id) }
        let request = PlanRequest(kind: .convert, keyring: try Name(to), columnIDs: ids, context: context?.scheme)
        let made = try await instance.engine.plan(request)
        let question = "This seals \(columns.joined(separator: ", ")) anew under \"\(to)\" (\(made.core))"
        try confirm(made, console, question: question, insistingOn: plan)
        let outcome = try await driving.start(made, request, instance, console, interrupt)
        console.note("Now write keyring = \"\(to)\" for \(columns.joined(separator: ", ")) in keyturn.lua.")
        return outcome
    }
}

/// What values can be bound to, as the command line names it.
enum BindingArgument: String, CaseIterable, ExpressibleByArgument {
    case none, column, row

    var scheme: ValueContext.Scheme {
        switch self {
        case .none: .none
        case .column: .column
        case .row: .row
        }
    }
}

/// Implements `keyturn rewrap`.
struct RewrapCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "rewrap", abstract: "Wrap a keyring's keys under the provider's present key; rows untouched.",
        discussion: """
            With --new-root the provider makes a new key first. The older one stays with it, since backups may need it; the copies \
            under it are dropped only when every key is proved to unwrap through the new one.
            """
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var driving: DriveArguments

    @Argument(help: "The keyring.")
    var keyring: String

    @Option(name: .long, help: "The provider that keyturn.lua declares for the keyring, as a check.")
    var to: String?

    @Flag(name: .long, help: "Let the provider make a new key first.")
    var newRoot = false

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: true)
        let request = PlanRequest(kind: .rewrap, keyring: try Name(keyring), makesNewRoot: newRoot)
        let made = try await instance.engine.plan(request)
        if let to, to != made.rewrap?.provider {
            throw CommandError(
                .callerUsage,
                "keyring \"\(keyring)\" is declared with provider \"\(made.rewrap?.provider ?? "-")\", not \(quoted(to))",
                hint: "Change provider = … in keyturn.lua first.", status: .usage
            )
        }
        let question = "This wraps the keys of \"\(keyring)\" anew under provider \"\(made.rewrap?.provider ?? "-")\""
        try confirm(made, console, question: question, insistingOn: nil)
        return try await driving.start(made, request, instance, console, interrupt)
    }
}

/// Shows a plan's warnings and has it confirmed.
private func confirm(_ plan: Plan, _ console: Console, question: String, insistingOn hash: String?) throws {
    if let hash, hash != plan.hash {
        throw RotationError(
            .callerPlanStale, "the plan has changed: its hash is \(plan.hash), not \(quoted(hash))",
            hint: "Look at \"keyturn plan \(plan.keyring)\" again; nothing was changed."
        )
    }
    for warning in plan.warnings { console.note("warning: \(warning)") }
    if plan.refusals.isEmpty { try console.confirm(question, byTyping: plan.keyring) }
}
