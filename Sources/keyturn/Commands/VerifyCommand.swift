internal import ArgumentParser
internal import Control
internal import Frames

/// Implements `keyturn verify`.
struct VerifyCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Open every value with the active key alone and count what else there is.",
        discussion: """
            Changes nothing. Ends with 1 unless nothing lies under an older key, everything opens, and no column that is not \
            declared holds values under a key of ours.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The keyring; default: all.")
    var keyring: String?

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("keyrings.verify", ["name": .text(keyring)])
    }
}

/// Implements `keyturn discover`.
struct DiscoverCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "discover", abstract: "Look for ciphertext in columns that nobody declared.",
        discussion: """
            Changes nothing; prints what would declare them, and which tables could not be read. Ends with 1 where there is \
            any.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The keyring whose keys are tried; default: all.")
    var keyring: String?

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("columns.discover", ["keyring": .text(keyring)])
    }
}

/// Implements `keyturn status`.
struct StatusCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Say what stands where and what needs someone.",
        discussion: "Counts every value unless --no-count is given. Ends with 1 when something needs someone."
    )

    @OptionGroup var global: GlobalOptions

    @Flag(name: .long, help: "Do not open and count the values.")
    var noCount = false

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("status", ["count": .bool(!noCount)])
    }
}
