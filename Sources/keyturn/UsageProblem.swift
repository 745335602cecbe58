internal import ArgumentParser
internal import Glibc
internal import KeyModel

/// A command line that could not be understood, or a request for help.
struct UsageProblem {
    private let error: any Error
    private let arguments: [String]

    init(_ error: any Error, arguments: [String]) {
        self.error = error
        self.arguments = arguments
    }

    /// Prints what there is to say and returns the exit code.
    func report() -> ExitStatus {
        let code = Keyturn.exitCode(for: error)
        guard code != .success else {
            print(Keyturn.fullMessage(for: error))
            return .ok
        }
        let problem =
            unknownWord
            ?? CommandError(
                .callerUsage, oneLine(Keyturn.message(for: error)),
                hint: "\"keyturn help\" lists the commands, --help explains one.",
                status: .usage
            )
        if wantsJSON {
            print(ErrorEnvelope(problem).text)
        } else {
            let hint = problem.hint.map { "hint: \($0)\n" } ?? ""
            Console.write("keyturn: \(problem.message)\n\(hint)", to: STDERR_FILENO)
        }
        return .usage
    }

    /// The first word that names no command, with the nearest one that does.
    private var unknownWord: CommandError? {
        var commands = Keyturn.configuration.subcommands
        var path = "keyturn"
        for word in arguments where !word.hasPrefix("-") {
            guard !commands.isEmpty else { return nil }
            if let next = commands.first(where: { name(of: $0) == word }) {
                commands = next.configuration.subcommands
                path += " \(word)"
                continue
            }
            guard word != "help" else { return nil }
            let known = commands.map(name)
            let hint = nearest(to: word, among: known).map { "Did you mean \"\(path) \($0)\"?" }
            return CommandError(
                .callerUsage,
                "there is no command \(quoted("\(path.dropFirst(8))\(path == "keyturn" ? "" : " ")\(word)"))",
                hint: hint ?? "The commands are \(known.joined(separator: ", ")).", status: .usage
            )
        }
        return nil
    }

    private var wantsJSON: Bool {
        zip(arguments, arguments.dropFirst()).contains {
            ["-o", "--output"].contains($0) && ["json", "ndjson"].contains($1)
        }
            || arguments.contains { $0 == "--output=json" || $0 == "--output=ndjson" }
    }

    private func name(of command: any ParsableCommand.Type) -> String {
        command.configuration.commandName ?? command._commandName
    }

    private func oneLine(_ text: String) -> String {
        let first = text.split(separator: "\n").first.map(String.init) ?? text
        let plain = first.hasSuffix(".") ? String(first.dropLast()) : first
        return plain.prefix(1).lowercased() + plain.dropFirst()
    }
}
