internal import ArgumentParser
internal import Control
internal import Frames

/// Implements `keyturn byok`.
struct BYOKCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "byok", abstract: "Bring your own key: describe, test, save, continue, status.",
        subcommands: [
            BYOKDescribeCommand.self, BYOKTestCommand.self, BYOKSaveCommand.self, BYOKContinueCommand.self,
            BYOKStatusCommand.self,
        ],
        defaultSubcommand: BYOKStatusCommand.self
    )
}

/// Implements `keyturn byok describe`.
struct BYOKDescribeCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Print what the owner of a key has to set up.",
        discussion:
            "Policies as JSON ready to paste, with the External ID of this instance, and what to write in keyturn.lua.")

    @OptionGroup var global: GlobalOptions

    @Option(name: .long, help: "The kind of provider: aws-kms or transit.")
    var provider = "aws-kms"

    @Option(name: .long, help: "The key: its ARN, or its name at a transit engine.")
    var key: String

    @Option(name: .long, help: "Its region; only to be sure, since the ARN names it.")
    var region: String?

    @Option(name: .long, help: "The ARN of the role; default: KeyturnBYOKRole in the key's account.")
    var role: String?

    @Option(name: .long, help: "The ARN of who runs Keyturn, as \"aws sts get-caller-identity\" prints it.")
    var principal: String?

    @Option(name: .long, help: "Where a transit engine is mounted; default: transit.")
    var mount: String?

    @Flag(name: .long, help: "Allow all seven actions that products of this kind ask for.")
    var full = false

    func perform(_ caller: Caller) async throws -> Outcome {
        let named: [String: FrameValue?] = [
            "provider": .string(provider), "key": .string(key), "region": .text(region), "role": .text(role),
            "principal": .text(principal), "mount": .text(mount), "full": .flag(full),
        ]
        return try await caller.outcome("byok.describe", named)
    }
}

/// Implements `keyturn byok test`.
struct BYOKTestCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "test", abstract: "Try a declared provider from end to end.",
        discussion: "Exit code 1 where a check fails.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The provider.")
    var name: String

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("byok.test", ["name": .string(name)])
    }
}

/// Implements `keyturn byok save`.
struct BYOKSaveCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "save", abstract: "Take a tested provider for the customer's, after a warning.")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The provider.")
    var name: String

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("byok.save", ["name": .string(name)])
    }
}

/// Implements `keyturn byok continue`.
struct BYOKContinueCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "continue", abstract: "Move keyrings under the saved provider's key, then rotate them.",
        discussion: "May be killed at any instant; run it again to go on.")

    @OptionGroup var global: GlobalOptions
    @OptionGroup var driving: DriveArguments

    @Argument(help: "The provider.")
    var name: String

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("byok.continue", driving.named(["name": .string(name)]))
    }
}

/// Implements `keyturn byok status`.
struct BYOKStatusCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Say what lies under which key, and whether the key is there.",
        discussion: "Exit code 1 where something needs someone.")

    @OptionGroup var global: GlobalOptions

    func perform(_ caller: Caller) async throws -> Outcome { try await caller.outcome("byok.status") }
}
