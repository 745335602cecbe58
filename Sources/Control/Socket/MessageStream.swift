internal import Frames
internal import KeyModel

private struct StrayDescriptors: Error {}

/// The frames of one end of a connection, one after the other.
struct MessageStream {
    private let connection: SocketConnection
    private var reader: FrameReader

    /// Begins to read frames within limits.
    init(_ connection: SocketConnection, limits: FrameLimits) {
        self.connection = connection
        reader = FrameReader(limits: limits)
    }

    /// Waits for the next frame; nil where the stream has ended between two frames.
    ///
    /// - Throws: ``ControlError`` with `internalProtocol` for bytes that are no frame.
    mutating func next() async throws(ControlError) -> FrameValue? {
        do {
            while true {
                if let value = try reader.next() { return value }
                try checkDescriptors()
                guard let bytes = await connection.receive() else { break }
                reader.append(bytes)
            }
            try reader.finish()
        } catch let error as FrameError {
            throw self.wireError(error)
        } catch {
            throw Control.wireError("descriptors came that belong to no message")
        }
        return nil
    }

    /// Refuses descriptors that no frame claimed: they come with the first byte of theirs.
    private func checkDescriptors() throws {
        guard connection.holdsDescriptors else { return }
        do { try reader.finish() } catch { return }
        throw StrayDescriptors()
    }

    /// Says that nothing was to follow the frames read so far, so that others with other limits may be read.
    ///
    /// - Throws: ``ControlError`` with `internalProtocol` where bytes did.
    func finish() throws(ControlError) {
        do { try reader.finish() } catch { throw wireError(error) }
    }

    private func wireError(_ error: FrameError) -> ControlError {
        ControlError(
            .internalProtocol, "cannot read what came over the socket: \(error.message)",
            hint: "Use the same version of keyturn for the daemon and its clients."
        )
    }
}
