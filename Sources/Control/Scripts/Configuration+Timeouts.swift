internal import ControlStore
internal import KeyModel

extension Configuration {
    /// How long the function may take that is a schedule's action.
    func timeout(of schedule: Name) -> Duration {
        schedules.first { $0.name == schedule }?.timeout ?? HookDeclaration.usualTimeout
    }
}
