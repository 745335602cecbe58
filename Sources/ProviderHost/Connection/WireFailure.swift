internal import GRPCCore
internal import PluginKit
internal import PluginWire

/// Why a call over the wire failed, told apart by whose fault it is.
struct WireFailure {
    private let error: any Error

    init(_ error: any Error) { self.error = error }

    /// The failure in PluginKit's words.
    func providerError(subject: String, deadline: Duration) -> ProviderError {
        guard let status = error as? RPCError else {
            if error is CancellationError {
                return ProviderError(.providerUnavailable, "\(subject): the call was cancelled")
            }
            // The connection ended between its being taken and the call.
            let isGone =
                (error as? RuntimeError).map { [.clientIsStopped, .transportError].contains($0.code) } ?? false
            return ProviderError(
                isGone ? .providerUnavailable : .providerAnswerInvalid,
                "\(subject): \(WireText.harmless("\(error)"))")
        }
        if status.code == .deadlineExceeded {
            let time = Double(deadline.components.seconds) + Double(deadline.components.attoseconds) / 1e18
            return ProviderError(
                .providerUnavailable, "\(subject): it did not answer within \(time) s",
                hint: "An answer that still comes is thrown away; try again, or allow more with deadline = …."
            )
        }
        if status.isAboutAnswer {
            return ProviderError(
                .providerAnswerInvalid, "\(subject): its answer cannot be read: \(WireText.harmless(status.message))")
        }
        if status.code == .unavailable {
            return ProviderError(
                .providerUnavailable, "\(subject): \(WireText.harmless(status.message)); the outcome is unknown",
                hint: ProviderError(status, subject: subject).hint
            )
        }
        return ProviderError(status, subject: subject)
    }
}

extension RPCError {
    /// Whether this side gave up on the answer, because it could not be read or was too large; only then there is a cause.
    var isAboutAnswer: Bool {
        cause != nil && [.invalidArgument, .internalError, .unknown, .resourceExhausted].contains(code)
    }
}
