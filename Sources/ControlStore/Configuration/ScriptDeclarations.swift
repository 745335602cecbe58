package import KeyModel

/// A `hook "stage" (function(run) … end)`; the function stays with the text and is called in a worker.
package struct HookDeclaration: Hashable, Sendable {
    /// When a hook runs.
    package enum Stage: String, CaseIterable, Hashable, Sendable {
        /// Before anything is changed; where it fails the run is not begun.
        case before
        /// Once the new key is stored and can be handed to applications, before it seals anything.
        case published
        /// After the run has done its work.
        case after
        /// When the run failed or waits for a person.
        case onFailure = "on_failure"
        /// When the run has ended, however it did.
        case always
    }

    /// The stage.
    package let stage: Stage
    /// The number among the hooks of the stage, from 1.
    package let index: Int
    /// The file, without its folder: `keyturn.lua`, `scripts/backup.lua`.
    package let file: String
    /// The line, from 1.
    package let line: Int64
    /// How long it may take altogether, waiting for what it calls included.
    package var timeout = Self.usualTimeout

    /// How long a function that may call may take where nothing else is declared: an hour.
    package static let usualTimeout = Duration.seconds(3600)
    /// How long it may be given: from a second to a day.
    package static let timeouts = Duration.seconds(1)...Duration.seconds(86_400)

    /// Makes a declaration.
    package init(stage: Stage, index: Int, file: String, line: Int64) {
        self.stage = stage
        self.index = index
        self.file = file
        self.line = line
    }

    /// Where it stands: `keyturn.lua:12`.
    package var place: String { "\(file):\(line)" }
}

/// A `schedule "name" { … }` as it was written: words known, values not yet read.
package struct ScheduleDeclaration: Hashable, Sendable {
    /// A value.
    package enum Value: Hashable, Sendable {
        case text(String)
        case number(Int64)
        case truth(Bool)
        case texts([String])
    }

    /// A function that a schedule may give in place of times, or of an action.
    package enum Function: String, CaseIterable, Hashable, Sendable {
        /// Says whether a run is wanted.
        case when
        /// Says when the next run is wanted.
        case next
        /// Is the run itself, and may call what the configuration was granted.
        case action
    }

    /// Its name.
    package let name: Name
    /// The keyring that it turns; nil where it names none.
    package let keyring: Name?
    /// The other words and their values.
    package let fields: [String: Value]
    /// The functions that it gives.
    package let functions: Set<Function>
    /// How long its function `action` may take altogether.
    package var timeout = HookDeclaration.usualTimeout
    /// The file, without its folder.
    package let file: String
    /// The line, from 1.
    package let line: Int64

    /// Makes a declaration.
    package init(
        name: Name, keyring: Name? = nil, fields: [String: Value] = [:], functions: Set<Function> = [], file: String,
        line: Int64
    ) {
        self.name = name
        self.keyring = keyring
        self.fields = fields
        self.functions = functions
        self.file = file
        self.line = line
    }
}
