internal import KeyModel

/// Says why a call could not be carried out.
package struct ControlError: CodedError, Hashable {
    /// The code's stable name; a daemon's error keeps the name that the daemon gave it.
    package let codeName: String
    /// What could not be done to which thing, then why.
    package let message: String
    /// What to do about it.
    package let hint: String?
    /// The exit code that a command ends with.
    package let status: Int32

    /// Stable names of the errors that this module makes itself, with the exit code each leads to.
    package enum Code: String, CaseIterable, Sendable {
        /// The caller's role does not let it.
        case callerNotAllowed
        /// The confirmation was not given.
        case callerNotConfirmed
        /// The state moved since the plan was made; nothing was changed.
        case callerPlanStale
        /// There is no such entry, thing or argument.
        case callerNotFound
        /// An argument is missing, too many, or not as it must be.
        case callerUsage
        /// Somebody stopped it.
        case callerInterrupted
        /// The text of Lua goes on: more lines are wanted.
        case callerIncomplete
        /// The session already performs a request.
        case callerBusy
        /// The script failed.
        case callerScriptFailed
        /// A limit of time, memory, output or number was reached.
        case callerLimitExceeded
        /// The daemon cannot be reached, or went away; what it was doing goes on or is resumed by it.
        case storeDaemonUnreachable
        /// The audit log cannot be written, so nothing that changes state is done.
        case storeAuditUnavailable
        /// What came over the socket is not of the protocol.
        case internalProtocol

        /// The exit code.
        package var status: Int32 {
            switch self {
            case .callerNotFound, .callerScriptFailed, .callerBusy, .callerIncomplete, .internalProtocol: 1
            case .callerNotAllowed, .storeDaemonUnreachable, .storeAuditUnavailable: 2
            case .callerNotConfirmed, .callerPlanStale: 3
            case .callerLimitExceeded: 4
            case .callerUsage: 64
            case .callerInterrupted: 130
            }
        }
    }

    /// Makes an error of this module.
    package init(_ code: Code, _ message: String, hint: String? = nil) {
        self.init(codeName: code.rawValue, message, hint: hint, status: code.status)
    }

    /// Makes an error that another module or the daemon named.
    package init(codeName: String, _ message: String, hint: String? = nil, status: Int32 = 1) {
        self.codeName = codeName
        self.message = message
        self.hint = hint
        self.status = status
    }
}
