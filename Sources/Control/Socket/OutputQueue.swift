internal import CProcess
internal import Glibc

/// Bytes that wait to be sent, some of them with descriptors.
struct OutputQueue {
    /// Bytes, of which the first carries descriptors.
    private struct Piece {
        var bytes: [UInt8]
        var descriptors: Descriptors?
    }

    /// Descriptors that are closed once nobody holds them: sent, or given up.
    private final class Descriptors {
        let all: [Int32]

        init(_ all: [Int32]) { self.all = all }

        deinit { all.forEach { _ = close($0) } }
    }

    private var pieces: [Piece] = []
    /// How many bytes of the first piece are sent.
    private var sent = 0

    /// How many bytes wait.
    private(set) var count = 0

    /// Whether nothing waits.
    var isEmpty: Bool { count == 0 }

    /// Queues bytes; the descriptors go with the first of them and are closed afterwards.
    mutating func append(_ bytes: [UInt8], descriptors: [Int32]) {
        guard !bytes.isEmpty else { return }
        count += bytes.count
        if descriptors.isEmpty, let last = pieces.last, last.bytes.count + bytes.count <= 65_536 {
            pieces[pieces.count - 1].bytes += bytes
        } else {
            pieces.append(Piece(bytes: bytes, descriptors: descriptors.isEmpty ? nil : Descriptors(descriptors)))
        }
    }

    /// Sends what the socket takes.
    ///
    /// - Returns: False where the socket takes nothing ever again.
    mutating func send(to socket: Int32) -> Bool {
        while let piece = pieces.first {
            let descriptors = piece.descriptors?.all ?? []
            let taken = piece.bytes.withUnsafeBytes { bytes in
                kt_socket_send(
                    socket, bytes.baseAddress?.advanced(by: sent), bytes.count - sent, descriptors, descriptors.count)
            }
            guard taken >= 0 else { return errno == EAGAIN }
            pieces[0].descriptors = nil
            count -= taken
            sent += taken
            if sent == piece.bytes.count {
                pieces.removeFirst()
                sent = 0
            }
        }
        return true
    }
}
