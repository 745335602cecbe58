internal import Frames

/// What one script may use up.
package struct WorkerLimits: Hashable, Sendable {
    /// The most memory of its Lua state, in bytes.
    package var memoryBytes: Int64
    /// The most instructions of Lua.
    package var instructions: Int64
    /// The most processor time; the worker ends itself 250 ms later where the script cannot be stopped.
    package var processorTime: Duration
    /// The most time altogether, after which the worker is killed from outside.
    package var time: Duration
    /// The most output that is kept, in bytes.
    package var outputBytes: Int64

    /// Makes limits; without arguments those of a configuration: 64 MiB, 2·10⁹ instructions, 5 s of the processor, 10 s.
    package init(
        memoryBytes: Int64 = 64 << 20, instructions: Int64 = 2_000_000_000, processorTime: Duration = .seconds(5),
        time: Duration = .seconds(10), outputBytes: Int64 = 1 << 20
    ) {
        self.memoryBytes = memoryBytes
        self.instructions = instructions
        self.processorTime = processorTime
        self.time = time
        self.outputBytes = outputBytes
    }

    /// The limits as the worker's request carries them.
    var frame: FrameValue {
        [
            "memory_bytes": .integer(memoryBytes), "instructions": .integer(instructions),
            "cpu_ms": .integer(processorTime.wholeMilliseconds), "wall_ms": .integer(time.wholeMilliseconds),
            "output_bytes": .integer(outputBytes),
        ]
    }
}

extension Duration {
    /// The duration in milliseconds, at least one and at most a day, which is the most that the worker takes.
    var wholeMilliseconds: Int64 {
        let bounded = min(max(self, .milliseconds(1)), .seconds(86_400)).components
        return bounded.seconds * 1000 + bounded.attoseconds / 1_000_000_000_000_000
    }
}
