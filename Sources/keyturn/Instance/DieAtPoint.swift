internal import Backups
internal import Foundation
internal import Rotation
internal import Synchronization

/// Kills the process right after a durable instant, for the tests that prove that nothing is lost by it.
///
/// `KEYTURN_DIE_AT=batchCommitted:3` dies after the third committed batch. An unknown point is refused, so that a test
/// cannot pass by misspelling it.
final class DieAtPoint: Sendable {
    private let point: String
    private let left: Mutex<Int>

    /// Reads the wish from the environment; nil where there is none.
    ///
    /// - Throws: ``CommandError`` for a wish that names no point.
    init?(environment: [String: String]) throws {
        guard let wish = environment["KEYTURN_DIE_AT"] else { return nil }
        let parts = wish.split(separator: ":")
        guard let point = parts.first.map(String.init), Self.points.contains(point),
            let count = parts.count > 1 ? Int(parts[1]) : 1
        else {
            throw CommandError(.callerUsage, "KEYTURN_DIE_AT names no durable point", status: .usage)
        }
        self.point = point
        left = Mutex(count)
    }

    /// The instants of runs and those of backups.
    private static let points = Set(DurablePoint.allCases.map(\.rawValue) + BackupPoint.allCases.map(\.rawValue))

    /// Takes note of an instant, and dies if it is the one.
    func reached(_ point: String) {
        guard point == self.point else { return }
        let isLast = left.withLock { left in
            left -= 1
            return left == 0
        }
        if isLast { kill(getpid(), SIGKILL) }
    }
}
