internal import Control
internal import Foundation
internal import Frames
internal import KeyModel
package import Terminal

/// A person's console at a terminal: reads inputs, has them performed, shows what they come to.
///
/// Everything that touches the terminal happens in one loop, on one task: keys, signals, and what the instance says come in one
/// after another.
package final class InteractiveConsole {
    let settings: ConsoleSettings
    let device: TerminalDevice
    let connection: Connection
    let bridge: ConsoleBridge
    let signals: TerminalSignals
    let historyFile: HistoryFile?

    var editor: LineEditor
    var screen = EditorScreen()
    /// The screen as an input was handed in; nil once something was written below it.
    var handedIn: EditorScreen?
    var decoder = KeyDecoder()
    var typedAhead: [Key] = []
    var presentation: Presentation
    var isTiming = false
    var isLeaving = false
    /// Whether the person left something that runs.
    var hasAbandoned = false
    var requestNumber = 0
    /// The session that was begun: its startup file has run.
    var begunSession = 0
    var sensitive: SensitiveInputs?
    var progress = ProgressLine()
    /// Whether a line says that something still runs.
    var isWaitingShown = false
    var pendingKeys: [Key] = []
    var pendingSignals: [TerminalSignals.Signal] = []
    var hasOpenedEarly = false
    var backgroundRequest = 0
    var backgroundDescription = 0
    /// The session whose description is known.
    var describedSession = 0

    /// What is shown while something runs.
    struct ProgressLine {
        var isShown = false
        var lastPlain: (phase: String, time: ContinuousClock.Instant)?
        /// The run that is watched.
        var run: Int64?
    }

    /// The most keys that are held while something runs.
    static let aheadLimit = 1 << 16
    /// How long a completion may take.
    static let completionTime = Duration.milliseconds(50)

    /// Makes a console on a terminal.
    package init(_ settings: ConsoleSettings, on device: TerminalDevice, opening: @escaping Connection.Opening) {
        self.settings = settings
        self.device = device
        connection = Connection(opening)
        bridge = ConsoleBridge { [device] in device.wake() }
        signals = TerminalSignals { [device] in device.wake() }
        let style = Style(environment: settings.environment, isTerminal: true)
        historyFile = HistoryFile.path(instance: settings.instance, environment: settings.environment)
            .map { HistoryFile(path: $0) }
        let prompt = LineEditor.Prompt("\(settings.name)> ")
        editor = LineEditor(prompt: prompt, history: History(historyFile?.read() ?? []), style: style)
        presentation = Presentation(settings.format, width: device.size.columns, style: style)
    }

    /// Reads and performs until the person leaves.
    ///
    /// - Returns: The exit code.
    package func run() async -> Int32 {
        device.enterEditing()
        if let note = historyFile?.note { say(note) }
        while !isLeaving {
            guard let submission = await read() else { break }
            await perform(submission)
        }
        bridge.close()
        device.leaveEditing()
        signals.stop()
        await close()
        return 0
    }

    /// Ends the session; a daemon that does not answer holds nobody up.
    private func close() async {
        let limit: Duration = hasAbandoned ? .milliseconds(300) : .seconds(10)
        let first = Counter()
        await withCheckedContinuation { continuation in
            Task { [connection] in
                await connection.close()
                if first.next() == 1 { continuation.resume() }
            }
            Task {
                try? await Task.sleep(for: limit)
                if first.next() == 1 { continuation.resume() }
            }
        }
    }

    /// Something that happened.
    enum Event {
        case key(Key)
        case signal(TerminalSignals.Signal)
        case message(ConsoleBridge.Message)
        /// The time that was set is over.
        case timeout
        /// The terminal is gone.
        case closed
    }

    /// Waits for whatever happens next.
    ///
    /// - Parameters:
    ///   - deadline: When to stop waiting; nil for never.
    ///   - takesTypedAhead: Whether keys that were held come first.
    /// - Returns: What happened.
    func next(until deadline: ContinuousClock.Instant? = nil, takesTypedAhead: Bool = true) async -> Event {
        while true {
            if let message = bridge.next() { return .message(message) }
            if !pendingSignals.isEmpty { return .signal(pendingSignals.removeFirst()) }
            // What was held came before what was only read.
            if takesTypedAhead, !typedAhead.isEmpty { return .key(typedAhead.removeFirst()) }
            if !pendingKeys.isEmpty { return .key(pendingKeys.removeFirst()) }
            let left = deadline.map { $0 - ContinuousClock.now }
            if let left, left <= .zero { return .timeout }
            let pause: Duration? = decoder.awaitsSilence ? min(left ?? .milliseconds(30), .milliseconds(30)) : left
            switch await device.wait(for: pause) {
            case .bytes(let bytes): pendingKeys += decoder.take(bytes)
            case .silence: pendingKeys += decoder.fallSilent()
            case .woken: pendingSignals += signals.take()
            case .closed: return .closed
            }
        }
    }

    /// Brings the terminal in step with the editor.
    func draw() { device.write(screen.show(editor.frame(in: device.size))) }

    /// Says something above the input, or where the cursor stands.
    func say(_ text: String, _ role: Style.Role = .faint) {
        clearProgress()
        let text = text.escapedLines
        write(screen.erase())
        write(text.split(separator: "\n").map { editor.style.apply(role, to: String($0)) + "\n" }.joined())
    }

    /// Shows an error.
    func show(_ error: any Error) {
        clearProgress()
        write(presentation.text(error))
    }

    /// Writes text where the cursor stands.
    ///
    /// - Returns: Whether the terminal took it.
    @discardableResult
    func write(_ text: String) -> Bool {
        handedIn = nil
        return device.write(text)
    }
}
