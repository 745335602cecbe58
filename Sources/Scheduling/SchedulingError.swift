internal import KeyModel

/// Says what about a schedule, a zone or a window cannot be used.
package struct SchedulingError: Error, Hashable, Sendable {
    /// Stable names, the same in logs, JSON and scripts.
    package enum Code: String, Sendable {
        /// A text is no cron expression; correcting it helps.
        case callerCronMalformed
        /// A cron expression names dates that no calendar has; correcting it helps.
        case callerCronNeverFires
        /// A schedule's declaration holds what it must not, or lacks something; correcting it helps.
        case callerScheduleMalformed
        /// The function of a schedule returned what cannot be used; correcting it helps.
        case callerFunctionInvalid
        /// A text is no time with an offset; correcting it helps.
        case callerTimeMalformed
        /// A text is no window; correcting it helps.
        case callerWindowMalformed
        /// A schedule's rules contradict each other; correcting them helps.
        case callerScheduleImpossible
        /// The database has no zone of that name, or it must not be used; another name helps.
        case callerZoneUnknown
        /// A file of the time zone database is damaged or counts leap seconds; installing it anew helps.
        case dataZoneMalformed
        /// The time zone database cannot be read; installing it helps.
        case storeZonesUnavailable
    }

    /// Which of them.
    package let code: Code
    /// What could not be used, and why; lower case, one line.
    package let message: String
    /// What to do about it.
    package let hint: String?

    /// Makes an error.
    package init(_ code: Code, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }
}

extension SchedulingError: CodedError {
    /// The stable name of the code.
    package var codeName: String { code.rawValue }
}
