internal import ControlStore
internal import Frames
package import KeyModel
package import Scheduling

/// The scheduler's way to the functions of a configuration.
extension ConfigurationScript: ScheduleFunctions {
    /// Evaluates a function of a schedule with the table `ctx`: `now`, `after`, `last_success` and `key_made` in seconds since
    /// 1970, `key_age` in seconds, `tz`, `seals`, `rows` and `load`.
    package func evaluate(
        _ schedule: Name, _ function: ScheduleFunction, _ facts: FunctionFacts
    ) async throws -> FunctionValue {
        let kind: ScheduleDeclaration.Function =
            switch function {
            case .when: .when
            case .next: .next
            }
        let value = try await callSchedule(schedule.description, function: kind, context: facts.context)
        return switch value {
        case .null: .nothing
        case .bool(let truth): .truth(truth)
        case .integer(let number): .integer(number)
        case .double(let number): .number(number)
        case .string, .binary: .other("text")
        case .array: .other("list")
        case .map: .other("table")
        }
    }
}

extension FunctionFacts {
    fileprivate var context: FrameValue {
        func seconds(_ time: Timestamp) -> FrameValue { .integer(time.milliseconds / 1000) }
        var context: [String: FrameValue] = ["now": seconds(now), "after": seconds(after), "tz": .string(zone)]
        if let lastSuccess { context["last_success"] = seconds(lastSuccess) }
        if let made = key.madeAt {
            context["key_made"] = seconds(made)
            context["key_age"] = .integer(now.since(made).components.seconds)
        }
        if let seals = key.seals { context["seals"] = .integer(Int64(clamping: seals)) }
        if let rows = key.rows { context["rows"] = .integer(rows) }
        if let load = key.load { context["load"] = .double(load) }
        return .map(context)
    }
}
