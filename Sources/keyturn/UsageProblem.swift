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
        let problem = error as? CommandError ?? unknownWord ?? explained
        if wantsJSON {
            print(ErrorEnvelope(problem).text)
        } else {
            let hint = problem.hint.map { "hint: \($0)\n" } ?? ""
            Console.write("keyturn: \(problem.message)\n\(hint)", to: STDERR_FILENO)
        }
        return .usage
    }

    /// What the parser says, its advice apart from its message.
    private var explained: CommandError {
        let text = Keyturn.message(for: error).split(separator: "\n").first.map(String.init) ?? "nothing was asked for"
        let parts = text.replacing("'", with: "\"").split(separator: ". ", maxSplits: 1).map(String.init)
        let message = parts[0].hasSuffix(".") ? String(parts[0].dropLast()) : parts[0]
        let advice = parts.count > 1 ? parts[1].replacing("Please provide one of", with: "It is one of") : nil
        let ending = advice.map { ".?!".contains($0.last ?? ".") ? "" : "." } ?? ""
        return CommandError(
            .callerUsage, message.prefix(1).lowercased() + message.dropFirst(),
            hint: advice.map { $0 + ending } ?? "See \"\(command.path) --help\".", status: .usage
        )
    }

    /// The command that was named, and the first word that names none where one had to follow.
    private var command: (path: String, known: [any ParsableCommand.Type], unknown: String?) {
        var commands = Keyturn.configuration.subcommands
        var path = "keyturn"
        for word in arguments {
            guard !commands.isEmpty, !word.hasPrefix("-") else { break }
            guard let next = commands.first(where: { name(of: $0) == word }) else { return (path, commands, word) }
            commands = next.configuration.subcommands
            path += " \(word)"
        }
        return (path, commands, nil)
    }

    /// The first word that names no command, with the nearest one that does.
    private var unknownWord: CommandError? {
        let (path, commands, unknown) = command
        if let word = unknown, word != "help" {
            let known = commands.filter { $0.configuration.shouldDisplay }.map(name)
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

}
