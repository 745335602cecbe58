import Foundation

/// A pseudo terminal with keyturn on its other side.
final class PseudoTerminal {
    private let main: Int32
    private let child: Child
    private(set) var screen = ""

    /// TIOCSPTLCK and TIOCGPTN of the kernel's `asm-generic/ioctls.h`, which the C library's module does not show.
    private static let unlock: UInt = 0x4004_5431
    private static let giveNumber: UInt = 0x8004_5430

    /// Starts keyturn on a terminal of this size.
    init(_ ground: Ground, _ words: [String], columns: UInt16 = 80, environment: [String: String] = [:]) throws {
        main = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var number: Int32 = 0
        var isLocked: Int32 = 0
        guard main >= 0, ioctl(main, Self.unlock, &isLocked) == 0, ioctl(main, Self.giveNumber, &number) == 0 else {
            throw SetupFailure("no pseudo terminal: \(String(cString: strerror(errno)))")
        }
        var setup = ChildSetup(program: try Built.keyturn(), arguments: words, folder: ground.folder)
        setup.environment = ["KEYTURN_INSTANCE": "D", "TERM": "xterm", "NO_COLOR": ""].merging(environment) { $1 }
        setup.terminal = "/dev/pts/\(number)"
        var size = winsize(ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        guard ioctl(main, UInt(TIOCSWINSZ), &size) == 0 else { throw SetupFailure("no window size") }
        child = try Child(setup)
    }

    deinit { close(main) }

    /// Types text.
    func type(_ text: String) {
        _ = Array(text.utf8).withUnsafeBytes { Foundation.write(main, $0.baseAddress, $0.count) }
    }

    /// Reads until a text has come so many times, or the other side has closed.
    ///
    /// - Throws: ``SetupFailure`` where nothing comes for half a minute.
    func read(until text: String?, times: Int = 1) throws {
        while text.map({ screen.components(separatedBy: $0).count <= times }) ?? true {
            var waiting = pollfd(fd: main, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, 30_000) > 0 else { throw SetupFailure("nothing came after: \(screen)") }
            var bytes = [UInt8](repeating: 0, count: 4096)
            let got = bytes.withUnsafeMutableBytes { Foundation.read(main, $0.baseAddress, $0.count) }
            guard got > 0 else {
                guard text == nil else { throw SetupFailure("the other side closed after: \(screen)") }
                return
            }
            screen += String(decoding: bytes[..<got], as: UTF8.self)
        }
    }

    /// Reads to the end and waits.
    func end() throws -> Ended {
        try read(until: nil)
        return try child.wait()
    }
}
