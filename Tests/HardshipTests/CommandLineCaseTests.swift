import Foundation
import Testing

/// A session on the command line, from a file in `Tests/Fixtures/cli`.
///
/// A case begins with a line `# its name`; `@ sealed`, `@ plain` or `@ empty` says on what it begins. Each command is a line
/// `$ keyturn …`, the lines `< …` after it its standard input, `> …` its standard output, `! …` its standard error and `= …` its
/// exit code, which ends it. In the expected lines `*` stands for any text and a line `...` for any lines.
struct CommandLineCase: CustomTestStringConvertible, Sendable {
    struct Step: Sendable {
        var words: String
        var input = ""
        var output: [String] = []
        var errors: [String] = []
        var status: Int32?
    }

    let testDescription: String
    var ground = "empty"
    var steps: [Step] = []

    /// All cases of all files.
    static let all: [CommandLineCase] = {
        let folder = Fixture.folder.appending(path: "cli")
        let files = try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        return (files ?? []).filter { $0.pathExtension == "case" }.sorted { $0.path < $1.path }.flatMap(cases(in:))
    }()

    private static func cases(in file: URL) -> [CommandLineCase] {
        guard let text = try? String(contentsOf: file, encoding: .utf8) else { return [] }
        var cases: [CommandLineCase] = []
        for line in text.split(separator: "\n") {
            if line.hasPrefix("# ") {
                cases.append(CommandLineCase(testDescription: String(line.dropFirst(2))))
            } else if !cases.isEmpty {
                cases[cases.count - 1].take(line)
            }
        }
        return cases
    }

    private mutating func take(_ line: Substring) {
        let rest = String(line.dropFirst(2))
        if line.hasPrefix("$ keyturn") { return steps.append(Step(words: String(line.dropFirst(9)))) }
        if line.hasPrefix("@ ") {
            ground = rest
            return
        }
        guard !steps.isEmpty else { return }
        let last = steps.count - 1
        switch line.prefix(1) {
        case "<": steps[last].input += rest + "\n"
        case ">": steps[last].output.append(rest)
        case "!": steps[last].errors.append(rest)
        case "=": steps[last].status = Int32(rest)
        default: break
        }
    }
}

struct CommandLineCaseTests {
    @Test(arguments: CommandLineCase.all)
    func whatIsSaidIsWhatIsExpected(example: CommandLineCase) throws {
        let ground = try Ground()
        switch example.ground {
        case "sealed": try ground.seal(rows: 3)
        case "plain": try ground.prepare(rows: 3)
        default: break
        }
        for step in example.steps {
            let ended = try ground.keyturn(step.words, input: step.input)
            #expect(ended.status == step.status, "\(step.words): \(ended.all)")
            #expect(Self.matches(ended.text, step.output), "\(step.words)\n\(ended.all)")
            #expect(Self.matches(ended.errorText, step.errors), "\(step.words)\n\(ended.all)")
        }
    }

    @Test func casesAreFoundAndCanFail() {
        #expect(CommandLineCase.all.count > 15)
        #expect(CommandLineCase.all.allSatisfy { !$0.steps.isEmpty && $0.steps.allSatisfy { $0.status != nil } })
        #expect(Self.matches("a\nb 12 c\n", ["a", "b * c"]))
        #expect(Self.matches("a\nb\nc\n", ["a", "...", "c"]))
        #expect(!Self.matches("a\nb\n", ["a"]))
        #expect(!Self.matches("a\n", ["a", "b"]))
        #expect(!Self.matches("ab\n", ["*a"]))
    }

    private static func matches(_ text: String, _ expected: [String]) -> Bool {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: true)[...]
        var isOpen = false
        for pattern in expected where !pattern.isEmpty {
            if pattern == "..." {
                isOpen = true
                continue
            }
            while isOpen, let line = lines.first, !fits(line, pattern) { lines = lines.dropFirst() }
            guard let line = lines.first, fits(line, pattern) else { return false }
            lines = lines.dropFirst()
            isOpen = false
        }
        return lines.isEmpty || isOpen
    }

    private static func fits(_ line: Substring, _ pattern: String) -> Bool {
        let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
        guard let first = parts.first, line.hasPrefix(first) else { return false }
        guard parts.count > 1 else { return line == first }
        var rest = line.dropFirst(first.count)
        for part in parts.dropFirst().dropLast() {
            guard let range = rest.range(of: part) ?? (part.isEmpty ? rest.startIndex..<rest.startIndex : nil) else {
                return false
            }
            rest = rest[range.upperBound...]
        }
        return parts.last.map { rest.hasSuffix($0) } ?? true
    }
}

/// What holds for every command.
struct CommandLineTests {
    static let commands = [
        "init", "plan", "rotate", "adopt", "verify", "status", "runs", "runs list", "runs show", "run", "run pause",
        "run resume",
        "run cancel", "run ack", "keyring", "keyring list", "keyring show", "keyring import", "keyring export", "root",
        "root export", "root restore", "seal", "open", "recover", "version",
    ]

    @Test(arguments: commands)
    func helpNamesEachOption(command: String) throws {
        let ground = try Ground()
        let help = try ground.must("\(command) --help")
        #expect(help.text.contains("USAGE: keyturn \(command)"), "\(help.all)")
        #expect(help.errors.isEmpty)
        guard !help.text.contains("SUBCOMMANDS:") else { return }
        for option in ["--instance", "--output", "--yes", "--quiet", "--embedded"] {
            #expect(help.text.contains(option))
        }
        for line in help.text.split(separator: "\n") where !line.hasPrefix("USAGE") { #expect(line.count <= 100) }
    }

    @Test(arguments: [
        "", "rotate", "rotat main", "plan nope", "status", "runs show 77", "keyring export main", "seal t.s", "adopt",
        "run", "run ack 1",
        "verify main", "init", "recover", "root export --to x", "keyring import main", "rotate main --plan x",
        "version",
    ])
    func jsonIsOneEnvelopeWhateverHappens(line: String) throws {
        let ground = try Ground()
        try ground.seal(rows: 2)
        for words in [line + " -o json", "-o json " + line, "--output=json " + line] {
            let ended = try ground.keyturn(words)
            let envelope = try Envelope(ended)
            #expect(envelope.isOK != nil)
            #expect(
                envelope.isOK == true || (envelope.code?.isEmpty == false && !envelope.message.isEmpty),
                "\(words): \(ended.all)")
            if [2, 3, 64].contains(ended.status) { #expect(envelope.isOK == false, "\(words): \(ended.all)") }
        }
    }

    @Test func linesAndTablesForPrograms() throws {
        let ground = try Ground()
        try ground.seal(rows: 2)
        try ground.must("rotate main --yes --quiet")
        let lines = try ground.must("runs -o ndjson").text.split(separator: "\n")
        #expect(lines.count == 2)
        for line in lines { #expect((try? JSONSerialization.jsonObject(with: Data(line.utf8))) is [String: Any]) }
        let csv = try ground.must("status -o csv").text.split(separator: "\r\n")
        #expect(csv.first == "keyring,core,key,state,made,activated,retired,seals")
        #expect(
            csv.count == 3 && csv.allSatisfy { $0.split(separator: ",", omittingEmptySubsequences: false).count == 8 },
            "\(csv)")
        let quiet = try ground.must("rotate main --yes --quiet")
        #expect(quiet.errors.isEmpty)
        #expect(try ground.keyturn("rotate mian --yes --quiet").errorText.hasPrefix("keyturn: there is no keyring"))
    }
}
