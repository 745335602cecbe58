internal import ArgumentParser
internal import Control
internal import Frames

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

    /// The arguments of a call that drives a run.
    func named(_ own: [String: FrameValue?]) -> [String: FrameValue?] {
        var named = own
        named["rows_per_second"] = rowsPerSecond.map { .double($0) }
        named["duty_cycle"] = .double(dutyCycle)
        named["max_extra_disk"] = maxExtraDisk.map { .integer($0) }
        named["wait"] = .string(noWait ? "people" : "end")
        return named
    }
}

/// Implements `keyturn rotate`.
struct RotateCommand: CallCommand {
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

    func perform(_ caller: Caller) async throws -> Outcome {
        let own: [String: FrameValue?] = [
            "keyring": .string(keyring), "plan": .text(plan), "emergency": .flag(emergency),
        ]
        return try await caller.outcome("rotations.rotate", driving.named(own))
    }
}

/// Implements `keyturn adopt`.
struct AdoptCommand: CallCommand {
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

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("rotations.adopt", driving.named(["columns": .texts(columns), "plan": .text(plan)]))
    }
}

/// Implements `keyturn convert`.
struct ConvertCommand: CallCommand {
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

    func perform(_ caller: Caller) async throws -> Outcome {
        let own: [String: FrameValue?] = [
            "columns": .texts(columns), "to": .string(to), "plan": .text(plan), "context": .text(context?.rawValue),
        ]
        return try await caller.outcome("rotations.convert", driving.named(own))
    }
}

/// What values can be bound to, as the command line names it.
enum BindingArgument: String, CaseIterable, ExpressibleByArgument {
    case none, column, row
}

/// Implements `keyturn rewrap`.
struct RewrapCommand: CallCommand {
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

    func perform(_ caller: Caller) async throws -> Outcome {
        let own: [String: FrameValue?] = ["keyring": .string(keyring), "to": .text(to), "new_root": .flag(newRoot)]
        return try await caller.outcome("rotations.rewrap", driving.named(own))
    }
}
