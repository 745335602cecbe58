internal import ArgumentParser
internal import Control
internal import Foundation
internal import Frames
internal import KeyModel

/// Implements `keyturn call`.
struct CallEntryCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "call", abstract: "Call one entry of the API, with arguments as data.",
        discussion: """
            Arguments by place or by name: keyturn call runs.show 7; keyturn call status count=false. What is JSON is taken as \
            that, anything else as text; a text that looks like JSON stands in quotes: '"42"'. Nothing is ever evaluated. \
            "keyturn call help" lists what there is. After -- an argument may begin with a dash.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The entry, such as runs.list.")
    var name: String

    @Argument(help: "Its arguments: VALUE or NAME=VALUE.")
    var arguments: [String] = []

    @Option(name: .long, help: "With --yes: go ahead only if the plan has this hash.")
    var plan: String?

    @Option(name: .long, help: "Hand over this file for what passes through no message: keys to import.")
    var fromFile: String?

    @Option(
        name: .long,
        help: "Hand over this new file, mode 0600, for what passes through no message; - for standard output.")
    var toFile: String?

    func validate() throws {
        if fromFile != nil, toFile != nil { throw ValidationError("give either --from-file or --to-file") }
        if plan != nil, !global.yes { throw ValidationError("--plan needs --yes") }
    }

    func perform(_ caller: Caller) async throws -> Outcome {
        let words = CallWords(arguments)
        var call = Call(name, words.places, named: words.names, confirmation: confirmation)
        if let fromFile { call.descriptors = [try InputFile(fromFile).open()] }
        guard let toFile else { return caller.outcome(of: try await caller.perform(call)) }
        let file = try HandedFile(toFile == "-" ? nil : toFile)
        call.descriptors = [try file.handOver()]
        do {
            let answer = try await caller.perform(call)
            return toFile == "-" ? Outcome(nil) : caller.outcome(of: answer)
        } catch {
            file.remove()
            throw error
        }
    }

    private var confirmation: Confirmation {
        plan.map { .plan(hash: $0) } ?? (global.yes ? .given : .ask)
    }
}

/// The arguments of a call as they stand on a command line.
struct CallWords {
    /// Those by place.
    private(set) var places: [FrameValue] = []
    /// Those by name; where one stands twice, the last counts.
    private(set) var names: [String: FrameValue] = [:]

    init(_ words: [String]) {
        for word in words {
            if let sign = word.firstIndex(of: "="), Self.isName(word[..<sign]) {
                names[String(word[..<sign])] = Self.value(String(word[word.index(after: sign)...]))
            } else {
                places.append(Self.value(word))
            }
        }
    }

    /// What is JSON, as that; anything else, and a number that would be written otherwise, as the text it is.
    static func value(_ word: String) -> FrameValue {
        guard let value = FrameValue(json: word), word.first?.isWhitespace == false, word.last?.isWhitespace == false
        else {
            return .string(word)
        }
        if case .integer(let number) = value, String(number) != word { return .string(word) }
        return value
    }

    private static func isName(_ text: Substring) -> Bool {
        let first = text.utf8.first.map { (0x61...0x7A).contains($0) } ?? false
        return first && text.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F }
    }
}

/// Implements `keyturn reference`: writes the reference of the API.
struct ReferenceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reference", abstract: "Write the reference of the API as Markdown.", shouldDisplay: false)

    @Option(name: .long, help: "The folder.")
    var to: String

    func run() throws {
        try FileManager.default.createDirectory(atPath: to, withIntermediateDirectories: true)
        for page in Reference(try API.complete()).pages {
            try Data(page.text.utf8).write(to: URL(filePath: to).appending(path: page.name))
        }
    }
}
