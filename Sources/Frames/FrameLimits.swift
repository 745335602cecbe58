/// How large a frame and how involved its value may be.
package struct FrameLimits: Hashable, Sendable {
    /// The most bytes of one frame, without its length; at most 2³²−1.
    package var frameBytes: Int
    /// The most arrays and maps inside each other.
    package var depth: Int
    /// The most values in one frame, the names of a map not counted.
    package var nodes: Int

    /// Makes limits; without arguments those that every peer keeps: 16 MiB, 32 levels, 100,000 values.
    package init(frameBytes: Int = 16 << 20, depth: Int = 32, nodes: Int = 100_000) {
        self.frameBytes = min(frameBytes, Int(UInt32.max))
        self.depth = depth
        self.nodes = nodes
    }
}
