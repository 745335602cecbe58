internal import Foundation
internal import Synchronization

/// A terminal of a person: its modes, its bytes, and something to wake whoever waits for them.
///
/// ``wait(for:)`` is for one caller at a time; ``wake()`` and ``write(_:)`` for anyone.
package final class TerminalDevice: Sendable {
    /// What came first.
    package enum Arrival: Hashable, Sendable {
        /// Bytes.
        case bytes([UInt8])
        /// Somebody called ``TerminalDevice/wake()``.
        case woken
        /// Nothing, in all of the time.
        case silence
        /// The terminal is gone.
        case closed
    }

    private let input: Int32
    private let output: Int32
    private let wakeReading: Int32
    private let wakeWriting: Int32
    private let queue = DispatchQueue(label: "keyturn.terminal")
    private let former: Mutex<termios?> = Mutex(nil)

    private static let pasteOn = "\u{1B}[?2004h"
    private static let pasteOff = "\u{1B}[?2004l"

    /// Takes the descriptors of a terminal; they stay the caller's.
    ///
    /// - Returns: nil where the system has no more descriptors.
    package init?(input: Int32 = STDIN_FILENO, output: Int32 = STDOUT_FILENO) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        (self.input, self.output, wakeReading, wakeWriting) = (input, output, ends[0], ends[1])
    }

    deinit {
        leaveEditing()
        close(wakeReading)
        close(wakeWriting)
    }

    /// How many cells the terminal has now.
    package var size: TerminalSize {
        TerminalSize(descriptor: output, environment: ProcessInfo.processInfo.environment)
    }

    /// Hands every key to us as it is pressed, and pasted text apart; output is translated as ever.
    package func enterEditing() {
        former.withLock { former in
            var modes = termios()
            guard tcgetattr(input, &modes) == 0 else { return }
            if former == nil { former = modes }
            modes.c_iflag &= ~tcflag_t(BRKINT | ICRNL | INLCR | IGNCR | ISTRIP | IXON)
            modes.c_lflag &= ~tcflag_t(ECHO | ICANON | IEXTEN | ISIG)
            modes.c_oflag |= tcflag_t(OPOST | ONLCR)
            withUnsafeMutableBytes(of: &modes.c_cc) { characters in
                characters[Int(VMIN)] = 1
                characters[Int(VTIME)] = 0
            }
            tcsetattr(input, TCSADRAIN, &modes)
        }
        write(Self.pasteOn)
    }

    /// Puts the terminal's modes back as they were.
    package func leaveEditing() {
        let wasEditing = former.withLock { former in
            guard var modes = former else { return false }
            tcsetattr(input, TCSADRAIN, &modes)
            former = nil
            return true
        }
        if wasEditing { write(Self.pasteOff) }
    }

    /// Drops what was typed ahead.
    package func dropInput() { tcflush(input, TCIFLUSH) }

    /// Waits for bytes, a call, or the end of a time; nil waits for ever.
    package func wait(for time: Duration?) async -> Arrival {
        await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: self.waitBlocking(for: time)) }
        }
    }

    /// Wakes whoever waits.
    package func wake() {
        var byte: UInt8 = 0
        _ = Glibc.write(wakeWriting, &byte, 1)  // a full pipe wakes as well
    }

    /// Writes text, all of it.
    ///
    /// - Returns: Whether the terminal took it.
    @discardableResult
    package func write(_ text: String) -> Bool { Self.write(text, to: output) }

    /// Writes text to a descriptor, all of it; a reader that is slow is waited for.
    ///
    /// - Returns: False where the reader is gone.
    @discardableResult
    package static func write(_ text: String, to descriptor: Int32) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            var done = 0
            while done < bytes.count {
                let written = Glibc.write(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
                if written > 0 {
                    done += written
                } else if written < 0, errno == EAGAIN {
                    var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    poll(&waiting, 1, 1000)
                } else if written >= 0 || errno != EINTR {
                    return false
                }
            }
            return true
        }
    }

    private func waitBlocking(for time: Duration?) -> Arrival {
        var waiting = [
            pollfd(fd: input, events: Int16(POLLIN), revents: 0),
            pollfd(fd: wakeReading, events: Int16(POLLIN), revents: 0),
        ]
        let limit = time.map { max(0, min($0 / .milliseconds(1), 3_600_000)).rounded(.up) }
        let ready = poll(&waiting, 2, limit.map { Int32($0) } ?? -1)
        guard ready > 0 else { return ready == 0 || errno == EINTR ? .silence : .closed }
        if waiting[1].revents != 0 {
            var bytes = [UInt8](repeating: 0, count: 256)
            while read(wakeReading, &bytes, bytes.count) == bytes.count {}
            return .woken
        }
        return receive()
    }

    private func receive() -> Arrival {
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(input, &bytes, bytes.count)
        if count > 0 { return .bytes(Array(bytes[..<count])) }
        return count < 0 && (errno == EINTR || errno == EAGAIN) ? .silence : .closed
    }
}
