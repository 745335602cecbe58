internal import ArgumentParser
internal import Control
internal import Frames

/// Implements `keyturn keyring destroy`.
struct KeyringDestroyCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "destroy", abstract: "Ask for the destruction of retired keys, with a report of what it would do.",
        discussion: """
            Nothing is erased by this. A second person agrees with "keyturn keyring approve N", or the delay passes; then \
            "keyturn keyring erase N" carries it out. Ends with 3 where something stands against it.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The keyring.")
    var keyring: String

    @Option(name: .long, help: "A key; may be repeated. Default: all that are retired.")
    var key: [String] = []

    @Option(name: .long, help: "Why; kept for ever.")
    var reason: String?

    @Flag(name: .long, help: "Only print the report.")
    var dryRun = false

    @Option(
        name: .long,
        help:
            "A table that cannot be looked through and surely holds nothing, or kms-v2 for what was wrapped for a cluster."
    )
    var acceptUnread: [String] = []

    func validate() throws {
        if reason == nil, !dryRun { throw ValidationError("give --reason TEXT, or --dry-run") }
    }

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome(
            dryRun ? "keyrings.plan_destruction" : "keyrings.destroy",
            [
                "name": .string(keyring), "keys": .texts(key), "accept_unread": .texts(acceptUnread),
                "reason": dryRun ? nil : .text(reason),
            ], elseEnding: .refused)
    }
}

/// Implements `keyturn keyring destructions`.
struct KeyringDestructionsCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "destructions", abstract: "List what was destroyed, refused or waits, newest first.")

    @OptionGroup var global: GlobalOptions

    func perform(_ caller: Caller) async throws -> Outcome { try await caller.outcome("keyrings.destructions") }
}

/// Implements `keyturn keyring approve`.
struct KeyringApproveCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "approve", abstract: "Agree to a destruction that someone else has asked for.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The destruction.")
    var id: Int64

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("keyrings.approve", ["id": .integer(id)])
    }
}

/// Implements `keyturn keyring spare`.
struct KeyringSpareCommand: CallCommand {
    static let configuration = CommandConfiguration(commandName: "spare", abstract: "Call a destruction off.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The destruction.")
    var id: Int64

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("keyrings.spare", ["id": .integer(id)])
    }
}

/// Implements `keyturn keyring erase`.
struct KeyringEraseCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "erase", abstract: "Carry out a destruction that was agreed to.",
        discussion: "Asks every condition again, erases the wrapped copies, and proves that nothing opens afterwards.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The destruction.")
    var id: Int64

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("keyrings.erase", ["id": .integer(id)])
    }
}
