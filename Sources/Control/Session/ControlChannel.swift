package import Frames

/// A caller's way to an instance: over the daemon's socket, or within the process where the instance is embedded.
///
/// One request is performed at a time; a second one waits or is refused with `callerBusy`.
package protocol ControlChannel: Sendable {
    /// Performs a request to its end.
    ///
    /// - Parameters:
    ///   - request: What to do.
    ///   - client: Shown what happens meanwhile, and asked where a person must answer.
    /// - Returns: What it came to.
    /// - Throws: ``ControlError``, also for what the instance refused; over a socket with the daemon's own code, message and hint.
    func perform(_ request: ControlRequest, for client: any ControlClient) async throws -> Answer

    /// Asks the request that is being performed to end; it then fails with `callerInterrupted`. A run that it watches goes on.
    func cancel() async

    /// Kills the session's Lua worker, whose variables are lost; the session goes on.
    func killScript() async

    /// Ends the session.
    func close() async
}

/// What a caller can ask for.
package enum ControlRequest: Sendable {
    /// Calls an entry of the API.
    case call(Call)
    /// Runs a text of Lua in the session's worker; incomplete input fails with `callerIncomplete`.
    case script(Script)
    /// Completes what stands before the cursor; the answer's value is `{start, end, candidates = {{text, kind, signature}, …}}`, positions in bytes.
    case complete(text: String, cursor: Int)
    /// Describes the API: the answer's value is a list of entries, as `help()` shows them.
    case describe
    /// Nothing; proves that the other end lives. The answer's value is `{role}`, for a prompt, where the instance can be opened.
    case ping
}

/// One call of the API.
package struct Call: Sendable {
    /// The entry: `keyrings.list`.
    package var name: String
    /// Arguments in the order of the entry's parameters.
    package var arguments: [FrameValue]
    /// Arguments by name.
    package var named: [String: FrameValue]
    /// How far a change of state is confirmed beforehand.
    package var confirmation: Confirmation
    /// Descriptors that the caller hands over, for what may not pass in a frame: exported and imported keys.
    ///
    /// The callee owns them.
    package var descriptors: [Int32]

    /// Makes a call.
    package init(
        _ name: String, _ arguments: [FrameValue] = [], named: [String: FrameValue] = [:],
        confirmation: Confirmation = .ask, descriptors: [Int32] = []
    ) {
        self.name = name
        self.arguments = arguments
        self.named = named
        self.confirmation = confirmation
        self.descriptors = descriptors
    }
}

/// How far a change of state is confirmed beforehand.
package enum Confirmation: Hashable, Sendable {
    /// Not at all: a person is asked where there is one, else it is refused.
    case ask
    /// Wholly: `--yes`.
    case given
    /// For the plan of this hash alone: `--plan HASH` with `--yes`.
    case plan(hash: String)
}

/// A text of Lua to run.
package struct Script: Sendable {
    /// The text.
    package var text: String
    /// What messages call it: `stdin`, a file's name.
    package var name: String
    /// Whether to try it as an expression first and keep its variables, as a console does.
    package var isInteractive: Bool
    /// What the script finds in `arg`.
    package var arguments: [String]
    /// How far changes of state are confirmed beforehand.
    package var confirmation: Confirmation
    /// The most time, and the most processor time, that the script may take; nil for what sessions usually give.
    package var timeLimit: Duration?

    /// Makes a script.
    package init(
        _ text: String, name: String, isInteractive: Bool, arguments: [String] = [], confirmation: Confirmation = .ask
    ) {
        self.text = text
        self.name = name
        self.isInteractive = isInteractive
        self.arguments = arguments
        self.confirmation = confirmation
    }
}

/// The caller's side while a request is performed.
package protocol ControlClient: Sendable {
    /// Shows what happens; must not wait for a person.
    func show(_ event: ControlEvent) async

    /// Asks a person; nil where there is none or they declined.
    func answer(_ question: Question) async -> String?
}

/// What happens while a request is performed.
package enum ControlEvent: Hashable, Sendable {
    /// A script printed this; may hold anything but is valid UTF-8.
    case output(String)
    /// A remark for people: `the daemon was restarted`.
    case note(String)
    /// Something to weigh before confirming.
    case warning(String)
    /// What a person should read before a question: a plan.
    case review(Answer)
    /// How far a run has come.
    case progress(Progress)

    /// How far a run has come.
    package struct Progress: Hashable, Sendable {
        /// The run.
        package var run: Int64
        /// Its phase.
        package var phase: String
        /// What it works on: a column, a backup; empty where that goes without saying.
        package var subject: String
        /// How much is done.
        package var done: Int64
        /// How much there is to do; nil where unknown.
        package var total: Int64?
        /// What is counted: `rows`, `keys`, `bytes`.
        package var unit: String
        /// How much a second lately.
        package var rate: Double
        /// How long is left, in milliseconds; nil where unknown.
        package var leftMilliseconds: Int64?
        /// Why it waits; nil where it does not.
        package var waiting: String?

        /// Describes progress.
        package init(
            run: Int64, phase: String, subject: String = "", done: Int64, total: Int64? = nil, unit: String = "rows",
            rate: Double = 0, leftMilliseconds: Int64? = nil, waiting: String? = nil
        ) {
            self.run = run
            self.phase = phase
            self.subject = subject
            self.done = done
            self.total = total
            self.unit = unit
            self.rate = rate
            self.leftMilliseconds = leftMilliseconds
            self.waiting = waiting
        }
    }
}

/// What a person is asked.
package struct Question: Hashable, Sendable {
    /// What is wanted: `This makes a new key for "main" and rewrites every value of it. Type its name to go ahead`.
    package var text: String
    /// Whether what is typed must not be shown.
    package var isSecret: Bool

    /// Makes a question.
    package init(_ text: String, isSecret: Bool = false) {
        self.text = text
        self.isSecret = isSecret
    }
}

/// Opens sessions: the daemon's side of the seam.
package protocol ControlService: Sendable {
    /// Opens a session for a peer.
    ///
    /// - Throws: ``ControlError`` with `callerNotAllowed` where no role lets the peer in.
    func openSession(for peer: Peer, hello: SessionHello) async throws -> any ControlChannel
}

/// What a client says of itself when it connects; for layout alone, never believed for rights.
package struct SessionHello: Hashable, Sendable {
    /// The way by which calls will come.
    package var way: Peer.Way
    /// Whether a person can be asked.
    package var isInteractive: Bool
    /// The terminal's width in columns; nil where there is none.
    package var width: Int?

    /// Makes a hello.
    package init(way: Peer.Way, isInteractive: Bool, width: Int? = nil) {
        self.way = way
        self.isInteractive = isInteractive
        self.width = width
    }
}
