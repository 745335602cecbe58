package import KeyModel

/// Which function of a schedule is meant.
package enum ScheduleFunction: String, CaseIterable, Hashable, Sendable {
    /// Says whether the schedule is due.
    case when
    /// Says when it is due next.
    case next
}

/// What a schedule's function is told; everything that it may depend on.
package struct FunctionFacts: Hashable, Sendable {
    /// The time for which it is asked.
    package var now: Timestamp
    /// The zone's name.
    package var zone: String
    /// The latest nominal time that is settled; what `next` returns must come after it.
    package var after: Timestamp
    /// When a run last succeeded; nil for never.
    package var lastSuccess: Timestamp?
    /// What is known of the keyring.
    package var key: KeyFacts

    /// Makes facts.
    package init(
        now: Timestamp, zone: String, after: Timestamp, lastSuccess: Timestamp? = nil, key: KeyFacts = KeyFacts()
    ) {
        self.now = now
        self.zone = zone
        self.after = after
        self.lastSuccess = lastSuccess
        self.key = key
    }
}

/// What the scheduler is told of a keyring; it knows nothing else of keys.
package struct KeyFacts: Hashable, Sendable {
    /// When the active version was made; nil for none.
    package var madeAt: Timestamp?
    /// How much was sealed under it.
    package var seals: UInt64?
    /// About how many rows the keyring's columns hold.
    package var rows: Int64?
    /// How busy the machine is: its load over a minute, by processor.
    package var load: Double?

    /// Makes facts.
    package init(madeAt: Timestamp? = nil, seals: UInt64? = nil, rows: Int64? = nil, load: Double? = nil) {
        self.madeAt = madeAt
        self.seals = seals
        self.rows = rows
        self.load = load
    }
}

/// What a function returned, before anyone looked at it.
package enum FunctionValue: Hashable, Sendable {
    /// `nil`.
    case nothing
    /// A truth.
    case truth(Bool)
    /// A whole number.
    case integer(Int64)
    /// Any other number.
    case number(Double)
    /// Something else, by the name of its type.
    case other(String)
}

/// Where the functions of schedules are evaluated: in a process of their own, for a bounded time, without side effects.
package protocol ScheduleFunctions: Sendable {
    /// Evaluates a function of a schedule.
    ///
    /// - Throws: Whatever kept it from giving an answer; the schedule is then not due.
    func evaluate(
        _ schedule: Name, _ function: ScheduleFunction, _ facts: FunctionFacts
    ) async throws -> FunctionValue
}

/// The answer of a function, found fit for use.
package enum FunctionAnswer: Hashable, Sendable {
    /// Of `when`: whether the schedule is due.
    case isDue(Bool)
    /// Of `next`: when it is due next; nil for never.
    case at(Timestamp?)

    /// Further ahead nothing is believed.
    static let mostAhead = Duration.seconds(100 * 366 * 86_400)

    /// Judges what a function returned.
    ///
    /// `when` returns a truth or nothing. `next` returns seconds since 1970 that lie after `after`, or nothing; a number that is
    /// none, is infinite, lies in the past or further than 100 years ahead is refused, as is anything else.
    ///
    /// - Throws: ``SchedulingError`` with `callerFunctionInvalid`.
    package init(
        _ value: FunctionValue, of function: ScheduleFunction, _ facts: FunctionFacts
    ) throws(SchedulingError) {
        switch (function, value) {
        case (.when, .nothing): self = .isDue(false)
        case (.when, .truth(let isDue)): self = .isDue(isDue)
        case (.next, .nothing): self = .at(nil)
        case (.next, .integer(let seconds)): self = .at(try Self.time(seconds, facts))
        case (.next, .number(let number)):
            guard let seconds = Int64(exactly: number.rounded(.down)) else {
                throw Self.unfit(function, "the number \(number)")
            }
            self = .at(try Self.time(seconds, facts))
        case (.when, .integer), (.when, .number): throw Self.unfit(function, "a number")
        case (.next, .truth): throw Self.unfit(function, "a truth")
        case (_, .other(let type)): throw Self.unfit(function, "a \(type)")
        }
    }

    private static func time(_ seconds: Int64, _ facts: FunctionFacts) throws(SchedulingError) -> Timestamp {
        let (milliseconds, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        let time = Timestamp(milliseconds: milliseconds)
        guard !overflow, time.milliseconds == milliseconds, time <= facts.now.advanced(by: mostAhead) else {
            throw unfit(.next, "a time more than 100 years ahead")
        }
        guard time > facts.after else {
            throw unfit(.next, "\(time), which is not after \(facts.after)")
        }
        return time
    }

    private static func unfit(_ function: ScheduleFunction, _ found: String) -> SchedulingError {
        switch function {
        case .when:
            SchedulingError(
                .callerFunctionInvalid, "the function when returned \(found)",
                hint: "It must return true where the schedule is due, and false or nothing where it is not.")
        case .next:
            SchedulingError(
                .callerFunctionInvalid, "the function next returned \(found)",
                hint: "It must return seconds since 1970 that lie after ctx.after, or nothing.")
        }
    }
}

/// Tries the functions of schedules before they are relied on.
package struct FunctionTrial: Sendable {
    private let functions: any ScheduleFunctions

    /// Makes a trial.
    package init(_ functions: any ScheduleFunctions) { self.functions = functions }

    /// Evaluates a schedule's function twice with the same facts, and once as if a run had just succeeded.
    ///
    /// - Returns: What whoever wrote it should know; empty for nothing.
    /// - Throws: ``SchedulingError`` with `callerFunctionInvalid` for an answer that is not fit for use, or what kept the
    ///   function from answering.
    package func warnings(for schedule: Schedule, _ facts: FunctionFacts) async throws -> [String] {
        guard let function = schedule.function else { return [] }
        let kind: ScheduleFunction = if case .next = function { .next } else { .when }
        let first = try await functions.evaluate(schedule.name, kind, facts)
        let second = try await functions.evaluate(schedule.name, kind, facts)
        _ = try FunctionAnswer(first, of: kind, facts)
        var warnings: [String] = []
        if first != second {
            warnings.append(
                "its function \(kind.rawValue) returned \(first.words), then \(second.words) for the same facts; "
                    + "it must depend on nothing else")
        }
        guard kind == .when else { return warnings }
        var fresh = facts
        fresh.lastSuccess = facts.now
        fresh.key.madeAt = facts.now
        fresh.key.seals = 0
        let after = try await functions.evaluate(schedule.name, kind, fresh)
        if try FunctionAnswer(after, of: kind, fresh) == .isDue(true) {
            warnings.append(
                "its function when says it is due right after a run has succeeded; runs would follow each other")
        }
        return warnings
    }
}

extension FunctionValue {
    /// The value in words.
    package var words: String {
        switch self {
        case .nothing: "nothing"
        case .truth(let truth): "\(truth)"
        case .integer(let number): "\(number)"
        case .number(let number): "\(number)"
        case .other(let type): "a \(type)"
        }
    }
}
