internal import Foundation

/// What the system answered to a call that failed, in its words.
enum SystemText {
    /// The words for the error of the call before.
    static var last: String { text(errno) }

    /// Whether an error's number tells of a shortage that passes, so that trying again may help.
    static func isPassing(_ number: Int32) -> Bool {
        [EAGAIN, EINTR, EDQUOT, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC].contains(number)
    }

    /// The words for an error's number.
    static func text(_ number: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard strerror_r(number, &buffer, buffer.count) == 0 else { return "system error \(number)" }
        return buffer.withUnsafeBufferPointer { text in
            text.baseAddress.map { String(cString: $0).lowercased() } ?? ""
        }
    }
}

/// Reading and writing descriptors.
enum Pipes {
    /// Writes everything; false with `errno` where that fails.
    static func write(_ data: Data, to descriptor: Int32) -> Bool {
        data.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let part = UnsafeRawBufferPointer(rebasing: rest)
                let count = Foundation.write(descriptor, part.baseAddress, part.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }
    }

    /// Makes reads return at once where there is nothing to read.
    static func makeNonBlocking(_ descriptor: Int32) {
        let flags = fcntl(descriptor, F_GETFL)
        _ = fcntl(descriptor, F_SETFL, flags | O_NONBLOCK)
    }
}
