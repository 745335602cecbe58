internal import ArgumentParser
internal import Glibc
internal import ProviderHost
internal import Rotation

/// The command line: parses, runs one command, and ends with the exit code that the README lists.
@main
struct Keyturn: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keyturn",
        abstract: "Turns the keys that protect data inside a database: online, crash-safe, and with a proof.",
        discussion: """
            Every command works on an instance: a directory that "keyturn init" makes. Name it with --instance, or once \
            in KEYTURN_INSTANCE.

            "keyturn -c TEXT [ARG…]", "keyturn -f FILE [ARG…]" and "keyturn -" run Lua from the command line, a file and \
            standard input; the script finds its arguments in arg. Options stand before the script.

            Exit codes: 0 ok, 1 failed or unclean, 2 cannot reach or not allowed, 3 refused (confirmation, policy), \
            4 timed out or killed, 64 usage, 130 interrupted.
            """,
        version: Version.text,
        subcommands: [
            InitCommand.self, PlanCommand.self, RotateCommand.self, AdoptCommand.self, ConvertCommand.self,
            RewrapCommand.self, VerifyCommand.self,
            DiscoverCommand.self, StatusCommand.self, RunsCommand.self, RunCommand.self, KeyringCommand.self,
            RootCommand.self,
            BackupCommand.self,
            ServeCommand.self, CallEntryCommand.self, ReferenceCommand.self, ProviderCommand.self, PluginCommand.self,
            BYOKCommand.self,
            ScheduleCommand.self, SealCommand.self, OpenCommand.self, RecoverCommand.self, ConsoleCommand.self,
            ScriptCommand.self, SelftestCommand.self, VersionCommand.self,
        ]
    )

    static func main() async {
        ProcessHardening.apply()
        let words = Array(CommandLine.arguments.dropFirst())
        var arguments = words
        let status: ExitStatus
        do {
            arguments = GlobalOptions.afterCommand(try ScriptArguments.rewritten(words))
            var command = try parseAsRoot(arguments)
            if let session = command as? any SessionCommand { Glibc.exit(await run(session)) }
            if let runnable = command as? any InstanceCommand {
                status = await Execution(global: runnable.global).run(runnable)
            } else {
                try command.run()
                status = .ok
            }
        } catch {
            status = UsageProblem(error, arguments: arguments).report()
        }
        ProcessHardening.secrets.forget()
        Glibc.exit(status.rawValue)
    }

    private static func run(_ command: any SessionCommand) async -> Int32 {
        do {
            return try await command.converse()
        } catch {
            return Console(command.global, Interrupt()).fail(error).rawValue
        }
    }
}

/// How a command ended; the raw value is the process's exit code.
enum ExitStatus: Int32 {
    case ok = 0
    case failed = 1
    case unreachable = 2
    case refused = 3
    case killed = 4
    case usage = 64
    case interrupted = 130
}
