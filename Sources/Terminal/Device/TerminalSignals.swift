internal import Foundation
internal import Synchronization

/// Collects the signals that a program at a terminal gets, instead of being ended by them.
package final class TerminalSignals: Sendable {
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

    private let pending = Mutex<[Signal]>([])
    private let sources: Mutex<[any DispatchSourceSignal]> = Mutex([])

    private static let meanings: [(Int32, Signal)] = [
        (SIGINT, .interrupt), (SIGTERM, .end), (SIGHUP, .end), (SIGWINCH, .resize), (SIGCONT, .resume), (SIGTSTP, .stop),
    ]

    /// Begins to collect.
    ///
    /// - Parameter notice: Called after each signal, on a thread of its own.
    package init(notice: @escaping @Sendable () -> Void) {
        let made = Self.meanings.map { number, meaning in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { [weak self] in
                self?.pending.withLock { if !$0.contains(meaning) { $0.append(meaning) } }
                notice()
            }
            source.resume()
            return source
        }
        sources.withLock { $0 = made }
    }

    /// Stops collecting; the signals do again what they do by default.
    package func stop() {
        sources.withLock { sources in
            sources.forEach { $0.cancel() }
            sources = []
        }
        for (number, _) in Self.meanings { signal(number, SIG_DFL) }
    }

    /// Hands out the signals that came.
    package func take() -> [Signal] {
        pending.withLock { pending in
            defer { pending = [] }
            return pending
        }
    }

    /// Stops the program and those it shares the terminal with until somebody lets them go on, as a shell's `fg` does.
    package static func suspend() {
        signal(SIGTSTP, SIG_DFL)
        kill(0, SIGTSTP)
        signal(SIGTSTP, SIG_IGN)
    }
}
