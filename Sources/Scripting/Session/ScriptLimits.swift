internal import Frames

/// What one run of a script may use up.
package struct ScriptLimits: Hashable, Sendable {
    /// The most processor time; waiting for the host costs none.
    package var processorTime: Duration
    /// The most time altogether, a day at most.
    package var time: Duration
    /// The most calls to the host.
    package var calls: Int

    /// Makes limits.
    package init(processorTime: Duration, time: Duration, calls: Int = 10_000) {
        self.processorTime = processorTime
        self.time = time
        self.calls = calls
    }

    /// Of a console or a script file: 5 s of the processor, a day.
    package static let interactive = ScriptLimits(processorTime: .seconds(5), time: .seconds(86_400))
    /// Of a hook: 2 s of the processor, and as long as it was given, waiting for what it calls included.
    package static func hook(within time: Duration) -> ScriptLimits {
        ScriptLimits(processorTime: .seconds(2), time: time)
    }
    /// Of a function of a schedule: 50 ms of the processor, 2 s, and no calls.
    package static let schedule = ScriptLimits(processorTime: .milliseconds(50), time: .seconds(2), calls: 1)

    /// How long a script that has to end may still run before its worker is killed.
    ///
    /// A little less than the 250 ms that are promised, so that the killing itself falls within them.
    static let grace = Duration.milliseconds(190)

    /// The most time that a worker may compute: generous, since a loaded machine gives it little of the processor.
    var computingTime: Duration { min(time, processorTime * 20 + .seconds(10)) }

    /// The limits as requests carry them.
    var frame: FrameValue {
        [
            "cpu_ms": .integer(processorTime.wholeMilliseconds), "wall_ms": .integer(time.wholeMilliseconds),
            "calls": .integer(Int64(calls)),
        ]
    }
}
