internal import ControlStore
package import KeyModel
internal import PluginKit
internal import Rotation
internal import Scheduling
internal import Scripting
internal import Storage

/// An error of a module that this one does not know, and that says itself which exit code it leads to.
package protocol ExitCoded: CodedError {
    /// The exit code.
    var exitCode: Int32 { get }
}

extension ControlError {
    /// Any error as a caller is told it: the code, message and hint of the module that made it, with its exit code.
    package init(wrapping error: any Error) {
        if let own = error as? ControlError {
            self = own
        } else if let coded = error as? any CodedError {
            self.init(codeName: coded.codeName, coded.message, hint: coded.hint, status: Self.status(of: error))
        } else if error is CancellationError {
            self.init(.callerInterrupted, "interrupted")
        } else {
            self.init(codeName: "internalUnexpected", "\(error)")
        }
    }

    private static func status(of error: any Error) -> Int32 {
        switch error {
        case let error as StorageError: status(of: error.code)
        case let error as ControlStoreError: status(of: error.code)
        case let error as RotationError: status(of: error.code)
        case let error as SchedulingError: status(of: error.code)
        case let error as ProviderError:
            [.providerUnavailable, .providerDenied, .providerMisconfigured].contains(error.code) ? 2 : 1
        case let error as any ExitCoded: error.exitCode
        case let error as ScriptingError: error.code == .callerLimitExceeded ? 4 : 1
        default: 1
        }
    }

    private static func status(of code: StorageError.Code) -> Int32 {
        switch code {
        case .storeUnavailable, .storeBusy, .storeReadOnly: 2
        default: 1
        }
    }

    private static func status(of code: ControlStoreError.Code) -> Int32 {
        switch code {
        case .storeLeaseHeld, .storeLeaseLost: 2
        case .storeSetBack: 3
        default: 1
        }
    }

    private static func status(of code: SchedulingError.Code) -> Int32 {
        switch code {
        case .callerCronMalformed, .callerCronNeverFires, .callerTimeMalformed, .callerWindowMalformed,
            .callerZoneUnknown, .callerFunctionInvalid, .callerScheduleMalformed:
            64
        case .callerScheduleImpossible: 3
        case .dataZoneMalformed, .storeZonesUnavailable: 1
        }
    }

    private static func status(of code: RotationError.Code) -> Int32 {
        switch code {
        case .callerPlanStale, .callerRunOpen, .callerPolicyForbids: 3
        case .keyNotUnwrapped: 2
        default: 1
        }
    }
}
