internal import ArgumentParser
internal import Control
internal import Frames

/// Implements `keyturn plan`.
struct PlanCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Say what a rotation would do, what it costs and what stands against it.",
        discussion: "Reads the catalogue and a timed sample; changes nothing. The hash holds as long as the plan does."
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The keyring.")
    var keyring: String

    @Flag(name: .long, help: "Plan to seal the keyring's plaintext columns instead.")
    var adopt = false

    @Flag(name: .long, help: "Plan an emergency: the present key has leaked.")
    var emergency = false

    func perform(_ caller: Caller) async throws -> Outcome {
        let answer = try await caller.call(
            "rotations.plan",
            ["keyring": .string(keyring), "kind": .string(adopt ? "adopt" : "rotate"), "emergency": .flag(emergency)])
        return Outcome(Report(answer), status: answer.isGood ? .ok : .refused)
    }
}
