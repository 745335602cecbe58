package import Frames

/// What a script came to that ran to its end.
package struct ScriptResult: Hashable, Sendable {
    /// What it gave back, as data: what is none is shown as a text such as `<function>` or `<cycle>`.
    package var values: [FrameValue]
    /// Whether the text goes on: nothing was run, more lines are wanted.
    package var isIncomplete: Bool
    /// Whether it printed more than is kept.
    package var outputWasCut: Bool
    /// The processor time that it took.
    package var processorTime: Duration
    /// What its Lua state holds afterwards, in bytes.
    package var memoryBytes: Int64

    /// Makes a result.
    package init(
        values: [FrameValue] = [], isIncomplete: Bool = false, outputWasCut: Bool = false,
        processorTime: Duration = .zero, memoryBytes: Int64 = 0
    ) {
        self.values = values
        self.isIncomplete = isIncomplete
        self.outputWasCut = outputWasCut
        self.processorTime = processorTime
        self.memoryBytes = memoryBytes
    }
}
