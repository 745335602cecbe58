package import ControlStore
package import KeyModel
internal import Scheduling

/// Tries the schedules of a configuration against zones and calendars.
///
/// These change while a configuration stays. So what they make impossible is refused where a configuration is taken up; where one
/// is only read, the schedule alone is disabled and says so.
struct ScheduleTrial {
    private let configuration: Configuration

    init(_ configuration: Configuration) { self.configuration = configuration }

    /// Refuses the first schedule that is written wrongly.
    ///
    /// - Throws: ``ScriptingError`` with `callerConfigurationInvalid`.
    func refuseMalformed() throws(ScriptingError) {
        try tryEach { declaration throws(SchedulingError) in
            do throws(SchedulingError) {
                _ = try schedule(declaration)
            } catch {
                // What another release of the database may mend says so where it is worked.
                let isOfZones = [.callerZoneUnknown, .dataZoneMalformed, .storeZonesUnavailable].contains(error.code)
                guard isOfZones, !ZoneDatabase.isNoPlace(try ScheduleTerms(declaration).zone) else { throw error }
            }
        }
    }

    /// Refuses the first schedule that could never be kept as things stand.
    ///
    /// - Throws: ``ScriptingError`` with `callerConfigurationInvalid`.
    func refuseUnfit() throws(ScriptingError) {
        try tryEach { declaration throws(SchedulingError) in
            let schedule = try schedule(declaration)
            try schedule.refuseImpossible(from: SystemClock().now())
            if [.backup, .drill].contains(schedule.action), configuration.backup == nil {
                throw SchedulingError(
                    .callerScheduleImpossible, "it makes or tries backups, and none are declared",
                    hint: "Say with backup { … } where they go.")
            }
        }
    }

    /// What whoever wrote the schedules should know, with numbers.
    func warnings(from now: Timestamp) -> [String] {
        configuration.schedules.flatMap { declaration -> [String] in
            guard let schedule = try? schedule(declaration), schedule.function == nil else { return [] }
            return SchedulePreview(of: schedule.rules, from: now, count: 0).warnings.map {
                "schedule \(quoted(declaration.name.description)): \($0)"
            }
        }
    }

    private func schedule(_ declaration: ScheduleDeclaration) throws(SchedulingError) -> Schedule {
        let terms = try ScheduleTerms(declaration)
        for other in terms.notWith where !configuration.schedules.contains(where: { $0.name == other }) {
            throw SchedulingError(
                .callerScheduleMalformed, "\"not_with\" names \(quoted(other.description)), which is no schedule")
        }
        return try Schedule(terms, zones: try ZoneDatabase.configured(), instance: "")
    }

    private func tryEach(
        _ body: (ScheduleDeclaration) throws(SchedulingError) -> Void
    ) throws(ScriptingError) {
        for declaration in configuration.schedules {
            do throws(SchedulingError) {
                try body(declaration)
            } catch {
                let place = Place(
                    file: declaration.file, line: declaration.line,
                    thing: "schedule \(quoted(declaration.name.description))")
                throw place.error(error.message, hint: error.hint)
            }
        }
    }
}

extension Configuration {
    /// Refuses the first schedule that could never be kept as things stand; for whoever takes the configuration up.
    ///
    /// - Throws: ``ScriptingError`` with `callerConfigurationInvalid`.
    package func refuseUnfitSchedules() throws(ScriptingError) { try ScheduleTrial(self).refuseUnfit() }

    /// What whoever wrote the schedules should know, with numbers.
    package func scheduleWarnings(from now: Timestamp) -> [String] { ScheduleTrial(self).warnings(from: now) }
}
