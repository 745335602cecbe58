/// Finds `-c TEXT`, `-f FILE` and `-` on the command line and hands them to the command that runs Lua.
///
/// What follows is data for the script and never an option, whatever it looks like: that is why a word which begins with a dash must
/// stand behind `--`. Only how results are printed may still be said.
struct ScriptArguments {
    /// The command that runs Lua; nobody types it.
    static let command = "run-lua"

    /// The words of a command line, rewritten where they run Lua.
    ///
    /// - Throws: ``CommandError`` with exit code 64.
    static func rewritten(_ words: [String]) throws -> [String] {
        var rest = words[...]
        var options: [String] = []
        while let word = rest.first {
            guard let length = length(of: word) else { break }
            options += rest.prefix(length)
            rest = rest.dropFirst(length)
        }
        guard let word = rest.first, ["-c", "-f", "-"].contains(word) else { return words }
        rest = rest.dropFirst()
        var source: [String] = []
        if word != "-" {
            guard let text = rest.first else {
                throw CommandError(
                    .callerUsage, word == "-c" ? "-c needs the Lua to run" : "-f needs the file to run",
                    hint: "Example: keyturn \(word) \(word == "-c" ? "'status()'" : "report.lua")", status: .usage)
            }
            source = [word, text]
            rest = rest.dropFirst()
        }
        return [command] + options + source + (try dataWords(&rest))
    }

    private static func dataWords(_ rest: inout ArraySlice<String>) throws -> [String] {
        var options: [String] = []
        while let word = rest.first, ["-o", "--output", "--quiet"].contains(word) || word.hasPrefix("--output=") {
            let length = length(of: word) ?? 1
            options += rest.prefix(length)
            rest = rest.dropFirst(length)
        }
        if rest.first == "--" { return options + ["--"] + rest.dropFirst() }
        if let word = rest.first(where: { $0.hasPrefix("-") && $0.count > 1 }) {
            throw CommandError(
                .callerUsage, "\(word.debugDescription) stands where the script's own arguments do",
                hint: "Give options before the script, and arguments that begin with a dash behind --.", status: .usage)
        }
        return options + ["--"] + rest
    }

    /// How many words an option takes; nil where the word is none that may stand before a script.
    private static func length(of word: String) -> Int? {
        switch word {
        case "--embedded", "--yes", "--quiet": 1
        case "--instance", "--socket", "-o", "--output", "--plan": 2
        case _ where ["--instance=", "--socket=", "--output=", "--plan="].contains { word.hasPrefix($0) }: 1
        default: nil
        }
    }
}
