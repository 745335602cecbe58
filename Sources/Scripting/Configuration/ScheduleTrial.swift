internal import ControlStore
internal import KeyModel
internal import Scheduling

/// Tries the schedules of a configuration against zones and calendars, so that what can never be kept is seen when it is read.
struct ScheduleTrial {
    private let declarations: [ScheduleDeclaration]

    init(_ declarations: [ScheduleDeclaration]) { self.declarations = declarations }

    /// Refuses the first that cannot be used.
    ///
    /// - Throws: ``ScriptingError`` with `callerConfigurationInvalid`.
    func refuseUnfit() throws(ScriptingError) {
        guard !declarations.isEmpty else { return }
        for declaration in declarations {
            let place = Place(
                file: declaration.file, line: declaration.line,
                thing: "schedule \(quoted(declaration.name.description))")
            do throws(SchedulingError) {
                let terms = try ScheduleTerms(declaration)
                for other in terms.notWith where !declarations.contains(where: { $0.name == other }) {
                    throw SchedulingError(
                        .callerScheduleMalformed,
                        "\"not_with\" names \(quoted(other.description)), which is no schedule")
                }
                let schedule = try Schedule(terms, zones: try ZoneDatabase.configured(), instance: "")
                try schedule.refuseImpossible(from: SystemClock().now())
            } catch {
                throw place.error(error.message, hint: error.hint)
            }
        }
    }
}
