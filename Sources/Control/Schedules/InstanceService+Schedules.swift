internal import ControlStore
internal import KeyModel
internal import Logging
internal import Rotation
package import Scheduling
internal import Scripting

extension InstanceService {
    /// What works the schedules of the instance; works by each configuration that is taken up from now on.
    ///
    /// - Parameter metrics: Where figures go.
    /// - Returns: The scheduler, which does nothing before it is run.
    /// - Throws: What stands in the way of opening the instance.
    package func makeScheduler(metrics: any SchedulerMetrics = NoMetrics()) async throws -> Scheduler {
        let instance = try await self.instance()
        let context = instance.context
        let id = try await context.control.read { try $0.instance()?.id ?? "" }
        let setting = Scheduler.Setting(
            instance: id, node: await context.memory.entry.node, holder: context.holder)
        let functions = PresentFunctions(service: self)
        let scheduler = Scheduler(
            setting: setting, control: context.control,
            declarations: try instance.configuration.schedules.map { try ScheduleTerms($0) },
            actions: ScheduledActions(self), functions: functions, zones: { try ZoneDatabase.configured() },
            metrics: metrics, logger: logger)
        onReplace { [logger] configuration in
            do {
                await scheduler.configure(try configuration.schedules.map { try ScheduleTerms($0) })
            } catch {
                logger.error("schedules not taken up", metadata: ["reason": "\(error)"])
            }
        }
        for warning in await warnings(about: instance.configuration) { logger.warning("\(warning)") }
        return scheduler
    }

    /// What whoever wrote a configuration should know of its schedules, whose functions are tried.
    func warnings(about configuration: Configuration) async -> [String] {
        let known = configuration.scheduleWarnings(from: SystemClock().now())
        guard configuration.schedules.contains(where: { !$0.functions.isDisjoint(with: [.when, .next]) }) else {
            return known
        }
        do {
            let trial = FunctionTrial(try await source.script(of: configuration))
            let zones = try ZoneDatabase.configured()
            let now = SystemClock().now()
            var warnings = known
            for declaration in configuration.schedules {
                let schedule = try Schedule(ScheduleTerms(declaration), zones: zones, instance: "")
                let facts = FunctionFacts(
                    now: now, zone: schedule.rules.zone.name, after: now, key: KeyFacts(madeAt: now, seals: 0))
                do {
                    warnings += try await trial.warnings(for: schedule, facts)
                        .map { "schedule \(quoted(schedule.name.description)): \($0)" }
                } catch {
                    warnings.append("schedule \(quoted(schedule.name.description)): \(Self.reason(of: error))")
                }
            }
            return warnings
        } catch {
            return known + ["the functions of schedules cannot be tried: \(Self.reason(of: error))"]
        }
    }
}

/// The functions of the configuration that holds at the time.
private struct PresentFunctions: ScheduleFunctions {
    let service: InstanceService

    func evaluate(
        _ schedule: Name, _ function: ScheduleFunction, _ facts: FunctionFacts
    ) async throws -> FunctionValue {
        try await service.source.script(of: try await service.configuration()).evaluate(schedule, function, facts)
    }
}

extension ScheduleDeclaration {
    /// The calls that its action makes without naming them; none for one that cannot be used.
    var impliedCalls: [String] {
        switch (try? ScheduleTerms(self))?.action {
        case .rotate: ["rotations.rotate", "runs.pause", "runs.resume"]
        case .rewrap: ["rotations.rewrap", "runs.pause", "runs.resume"]
        case .backup: ["backups.create"]
        case .drill: ["backups.drill"]
        case .verify, .function, nil: []
        }
    }
}
