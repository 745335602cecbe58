// A console on an instance of paper: what an input comes to is its own words. It stands in for the daemon where a test needs
// answers that a real one gives at no chosen time: one that never comes, a connection that breaks, a run of a hundred rows.
import ConsoleSession
import Control
import Foundation
import Frames
import Terminal

let environment = ProcessInfo.processInfo.environment
var settings = ConsoleSettings(instance: environment["DOUBLE_INSTANCE"] ?? "/srv/paper", environment: environment)
let words = CommandLine.arguments.dropFirst()
if let place = words.firstIndex(of: "-o"), place + 1 < words.endIndex {
    settings.format = ResultFormat(rawValue: words[place + 1]) ?? .table
}
signal(SIGPIPE, SIG_IGN)
let paper = Paper()
if let place = words.firstIndex(of: "-c") {
    let session = ScriptRun(settings, arguments: []) { try await paper.open() }
    exit(await session.run(.text(words[place + 1])))
} else if let place = words.firstIndex(of: "-f") {
    let session = ScriptRun(settings, arguments: []) { try await paper.open() }
    let text = try String(contentsOfFile: words[place + 1], encoding: .utf8)
    exit(await session.run(.file(name: words[place + 1], text: text)))
} else if environment["TERM"] == "dumb" || !TerminalSize.isTerminal(STDIN_FILENO) {
    let isTerminal = TerminalSize.isTerminal(STDIN_FILENO)
    exit(await PlainConsole(settings, isTerminal: isTerminal) { try await paper.open() }.run())
} else if let device = TerminalDevice() {
    exit(await InteractiveConsole(settings, on: device) { try await paper.open() }.run())
}
