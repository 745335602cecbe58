internal import CProcess
internal import Foundation
internal import PluginKit

/// The secret that a plugin is given where its declaration says `secret_fd`, such as a PIN; in locked memory.
public final class ProviderSecret: Sendable {
    private let bytes: SecretBytes

    /// The most bytes that there can be.
    private static let maximumCount = 4096

    private init(_ bytes: consuming SecretBytes) { self.bytes = bytes }

    /// Takes the secret from the pipe that the host made for this process; it can be taken once.
    ///
    /// - Returns: The secret, byte for byte as it came; nil where none was given.
    public static func take() -> ProviderSecret? {
        let variable = Handshake.secretVariable
        guard let text = ProcessInfo.processInfo.environment[variable], let descriptor = Int32(text), descriptor > 2
        else { return nil }
        // No other process of the same user looks into this one from here on.
        _ = kt_process_forbid_dumps()
        unsetenv(variable)
        defer { close(descriptor) }
        var count = 0
        let room = SecretBytes(count: maximumCount) { room in
            while count < room.count {
                let got = read(descriptor, room.baseAddress?.advanced(by: count), room.count - count)
                if got < 0, errno == EINTR { continue }
                guard got > 0 else { return }
                count += got
            }
        }
        guard count > 0 else { return nil }
        return ProviderSecret(room.withExposedBytes { SecretBytes(copying: $0.prefix(count)) })
    }

    /// Lends the bytes; they must not be kept, logged or copied into ordinary memory beyond the call.
    public func withExposedBytes<Result: ~Copyable, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try bytes.withExposedBytes(body)
    }
}
