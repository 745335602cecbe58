package import Control
internal import Foundation

/// What a console is told when it begins.
package struct ConsoleSettings: Sendable {
    /// The instance's directory, absolute.
    package var instance: String
    /// How results are printed at first.
    package var format: ResultFormat = .table
    /// How far changes of state are confirmed beforehand.
    package var confirmation = Confirmation.ask
    /// Whether `~/.keyturnrc.lua` is run at the beginning of each session.
    package var readsStartupFile = true
    /// Whether only results and errors are shown.
    package var isQuiet = false
    /// The environment.
    package var environment: [String: String]

    /// Makes settings for an instance.
    package init(instance: String, environment: [String: String]) {
        self.instance = instance
        self.environment = environment
    }

    /// The name of the instance: its directory's.
    var name: String { URL(filePath: instance).lastPathComponent }
}
