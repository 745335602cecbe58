internal import ArgumentParser
internal import ControlStore
internal import Foundation
internal import KeyModel

/// The options that every command takes.
struct GlobalOptions: ParsableArguments {
    @Option(name: .long, help: "The instance's directory; else KEYTURN_INSTANCE.")
    var instance: String?

    @Option(name: .long, help: "The daemon's socket; else KEYTURN_SOCKET, else run/keyturn.sock in the instance.")
    var socket: String?

    @Flag(name: .long, help: "Host the engine in this command; what every command does while no daemon listens.")
    var embedded = false

    @Option(name: [.customShort("o"), .customLong("output")], help: "How to print: table, json, ndjson or csv.")
    var output: OutputFormat = .table

    @Flag(name: .long, help: "Go ahead without asking; for scripts.")
    var yes = false

    @Flag(name: .long, help: "Print results and errors only, no progress.")
    var quiet = false

    /// The words of a command line with the options of every command moved from before the command to its end.
    static func afterCommand(_ words: [String]) -> [String] {
        var rest = words[...]
        var options: [String] = []
        while let word = rest.first {
            if ["--embedded", "--yes", "--quiet"].contains(word) || word.hasPrefix("--instance=")
                || word.hasPrefix("--output=") || word.hasPrefix("--socket=")
            {
                options.append(word)
                rest = rest.dropFirst()
            } else if ["--instance", "--socket", "-o", "--output"].contains(word), rest.count > 1 {
                options += rest.prefix(2)
                rest = rest.dropFirst(2)
            } else {
                break
            }
        }
        let end = rest.firstIndex(of: "--") ?? rest.endIndex
        return rest[..<end] + options + rest[end...]
    }

    /// The instance's directory.
    ///
    /// - Throws: ``CommandError`` with exit code 64 where none is named.
    func directory() throws -> InstanceDirectory {
        let named = instance ?? ProcessInfo.processInfo.environment["KEYTURN_INSTANCE"]
        guard let named, !named.isEmpty else {
            throw CommandError(
                .callerInstanceMissing, "no instance is named", hint: "Give --instance DIR, or set KEYTURN_INSTANCE.",
                status: .usage
            )
        }
        return InstanceDirectory(path: named)
    }
}

/// How results are printed.
enum OutputFormat: String, CaseIterable, ExpressibleByArgument {
    case table, json, ndjson, csv
}

/// Says why a command could not be carried out; other errors come from the modules beneath.
struct CommandError: CodedError {
    /// Stable names, the same in logs, JSON and scripts.
    enum Code: String {
        /// No instance was named.
        case callerInstanceMissing
        /// An argument or an option is not as it must be.
        case callerUsage
        /// The confirmation was not given.
        case callerNotConfirmed
        /// A file cannot be read or written.
        case callerFile
        /// There is an instance already.
        case callerInstanceExists
        /// Somebody stopped it.
        case callerInterrupted
    }

    let code: Code
    let message: String
    let hint: String?
    let status: ExitStatus

    var codeName: String { code.rawValue }

    init(_ code: Code, _ message: String, hint: String? = nil, status: ExitStatus = .failed) {
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status
    }
}
