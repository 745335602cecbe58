internal import ArgumentParser
internal import ConsoleSession
internal import Control
internal import ControlStore
internal import Foundation
internal import Terminal

/// A command that has the terminal for itself, signals and all.
protocol SessionCommand: AsyncParsableCommand {
    var global: GlobalOptions { get }

    /// Runs to its end.
    ///
    /// - Returns: The exit code.
    func converse() async throws -> Int32
}

extension OutputFormat {
    /// The same for sessions.
    var forSessions: ResultFormat {
        switch self {
        case .table: .table
        case .json: .json
        case .ndjson: .ndjson
        case .csv: .csv
        }
    }
}

extension GlobalOptions {
    /// What stands for the instance in a prompt and in the history: its directory, else the socket of its daemon.
    fileprivate func place() throws -> String {
        do { return try directory().path } catch {
            guard let socket = DaemonSocket.named(self) else { throw error }
            return socket
        }
    }
}

/// Implements `keyturn console`.
struct ConsoleCommand: SessionCommand {
    static let configuration = CommandConfiguration(
        commandName: "console", abstract: "Open a console at the instance, scripted in Lua.",
        discussion: """
            Type \\? in it for its commands and keys, help() for what can be called. Without a terminal it reads lines and \
            shows no prompt.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Flag(name: [.customShort("X"), .customLong("no-startup-file")], help: "Do not run ~/.keyturnrc.lua.")
    var skipsStartupFile = false

    func converse() async throws -> Int32 {
        let environment = ProcessInfo.processInfo.environment
        var settings = ConsoleSettings(instance: try global.place(), environment: environment)
        settings.format = global.output.forSessions
        settings.confirmation = global.yes ? .given : .ask
        settings.isQuiet = global.quiet
        settings.readsStartupFile = !skipsStartupFile
        let isTerminal = TerminalSize.isTerminal(STDIN_FILENO) && TerminalSize.isTerminal(STDOUT_FILENO)
        let kind = environment["TERM"] ?? ""
        guard isTerminal, !kind.isEmpty, kind != "dumb", let device = TerminalDevice() else {
            return await PlainConsole(settings, isTerminal: isTerminal) { [global] in
                try await InstanceConnection.open(global, way: .console)
            }
            .run()
        }
        return await InteractiveConsole(settings, on: device) { [global] in
            try await InstanceConnection.open(global, way: .console)
        }.run()
    }
}

/// Implements `keyturn -c TEXT`, `keyturn -f FILE` and `keyturn -`, which ``ScriptArguments`` rewrites to it.
struct ScriptCommand: SessionCommand {
    static let configuration = CommandConfiguration(
        commandName: ScriptArguments.command, abstract: "Run Lua.", shouldDisplay: false)

    @OptionGroup var global: GlobalOptions

    @Option(name: .customShort("c"), parsing: .unconditional, help: "The Lua to run.")
    var text: String?

    @Option(name: .customShort("f"), parsing: .unconditional, help: "The file to run.")
    var file: String?

    @Option(name: .long, help: "With --yes: only if the plan has this hash.")
    var plan: String?

    @Argument(help: "What the script finds in arg.")
    var arguments: [String] = []

    /// The most bytes of a script.
    private static let limit = 1 << 20

    func converse() async throws -> Int32 {
        var settings = ConsoleSettings(
            instance: try global.place(), environment: ProcessInfo.processInfo.environment)
        settings.format = global.output.forSessions
        settings.isQuiet = global.quiet
        settings.confirmation = try confirmation()
        let source = try source()
        return await ScriptRun(settings, arguments: arguments) { [global] in
            try await InstanceConnection.open(global, way: .script)
        }.run(source)
    }

    private func confirmation() throws -> Confirmation {
        guard let plan else { return global.yes ? .given : .ask }
        guard global.yes else {
            throw CommandError(
                .callerUsage, "--plan confirms nothing by itself", hint: "Give --yes along with it.", status: .usage)
        }
        return .plan(hash: plan)
    }

    private func source() throws -> ScriptRun.Source {
        if let text { return .text(text) }
        guard let file else { return .input(try read("-")) }
        return .file(name: file, text: try read(file))
    }

    private func read(_ path: String) throws -> String {
        guard let text = String(validating: try InputFile(path).read(limit: Self.limit), as: UTF8.self) else {
            throw CommandError(.callerFile, "\(path == "-" ? "standard input" : path) is not UTF-8")
        }
        // As lua does, so that a file can be executable.
        guard text.hasPrefix("#") else { return text }
        return String(text.drop { $0 != "\n" && $0 != "\r\n" })
    }
}
