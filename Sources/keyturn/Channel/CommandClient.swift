internal import Control
internal import Foundation
internal import KeyModel
internal import Terminal

/// The command line's side of a call: progress and remarks to standard error, questions to the terminal.
struct CommandClient: ControlClient {
    let console: Console

    func show(_ event: ControlEvent) async {
        switch event {
        case .output(let text): Console.write(text, to: STDOUT_FILENO)
        case .note(let text): console.note(text)
        case .warning(let text): console.note("warning: \(text)")
        case .review: break  // "keyturn plan" shows it
        case .progress(let progress): console.show(progress)
        }
    }

    func answer(_ question: Question) async -> String? {
        await console.ask(question)
    }
}
