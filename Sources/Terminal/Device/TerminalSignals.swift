internal import Foundation
internal import Synchronization

/// Collects the signals that a program at a terminal gets, instead of being ended by them.
package final class TerminalSignals {
    /// A signal by what it means.
    package enum Signal: Hashable, Sendable {
        /// Somebody wants an interruption.
        case interrupt
        /// The terminal is gone, or somebody ends the program.
        case end
        /// The terminal's size changed.
        case resize
        /// The program goes on after it was stopped.
        case resume
        /// Somebody wants the program to stop for a while.
        case stop
    }

    private final class Inbox: Sendable {
        let pending = Mutex<[Signal]>([])
    }

    private let inbox = Inbox()
    private let sources: [any DispatchSourceSignal]

    private let numbers: [Int32]

    private static let meanings: [(Int32, Signal)] = [
        (SIGINT, .interrupt), (SIGTERM, .end), (SIGHUP, .end), (SIGWINCH, .resize), (SIGCONT, .resume),
        (SIGTSTP, .stop),
    ]

    /// Begins to collect.
    ///
    /// - Parameters:
    ///   - wanted: Which signals; all others keep their meaning.
    ///   - notice: Called after each signal, on a thread of its own.
    package init(
        _ wanted: Set<Signal> = [.interrupt, .end, .resize, .resume, .stop], notice: @escaping @Sendable () -> Void
    ) {
        let collected = Self.meanings.filter { wanted.contains($0.1) }
        numbers = collected.map(\.0)
        sources = collected.map { [inbox] number, meaning in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                inbox.pending.withLock { if !$0.contains(meaning) { $0.append(meaning) } }
                notice()
            }
            source.resume()
            return source
        }
    }

    /// Stops collecting; the signals do again what they do by default.
    package func stop() {
        sources.forEach { $0.cancel() }
        numbers.forEach { signal($0, SIG_DFL) }
    }

    /// Hands out the signals that came.
    package func take() -> [Signal] {
        inbox.pending.withLock { pending in
            defer { pending = [] }
            return pending
        }
    }

    /// Stops the program and those it shares the terminal with until somebody lets them go on, as a shell's `fg` does.
    ///
    /// Does nothing where no shell watches: nobody could let them go on. `SIGSTOP` is sent, since a `SIGTSTP` that
    /// goes to the whole group may be taken by the reader of collected signals.
    package static func suspend() {
        guard isWatched else { return }
        kill(0, SIGSTOP)
        // The signal may reach another thread first, and this one a moment later.
        usleep(20_000)
    }

    /// Whether the process group has a parent in its session, so that it is no orphan (POSIX, Base Definitions 3.266).
    private static var isWatched: Bool {
        var parent = getppid()
        while parent > 1, getpgid(parent) == getpgrp() {
            guard let next = self.parent(of: parent) else { return false }
            parent = next
        }
        return parent > 0 && getsid(parent) == getsid(0)
    }

    private static func parent(of process: pid_t) -> pid_t? {
        // "PID (name) state parent ...", where the name may hold anything (proc(5)).
        guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
            let name = text.lastIndex(of: ")")
        else { return nil }
        return text[name...].split(separator: " ").dropFirst(2).first.flatMap { pid_t($0) }
    }
}
