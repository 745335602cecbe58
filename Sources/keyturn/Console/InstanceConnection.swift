internal import Control
internal import ControlStore
internal import Foundation
internal import KeyModel

/// Opens sessions at the instance that a command line names.
struct InstanceConnection: Sendable {
    private let directory: InstanceDirectory
    private let isEmbedded: Bool
    private let hello: SessionHello

    init(_ global: GlobalOptions, _ hello: SessionHello) throws {
        directory = try global.directory()
        isEmbedded = global.embedded
        self.hello = hello
    }

    /// Opens a session.
    ///
    /// - Throws: ``ControlError`` with `storeDaemonUnreachable` where nobody listens.
    func open() async throws -> any ControlChannel {
        throw ControlError(
            .storeDaemonUnreachable, "no daemon listens for the instance \(quoted(directory.path))",
            hint: "Start it with \"keyturn serve\".")
    }
}
