internal import Foundation
package import PluginKit

/// What a provider's client takes from the machine: time, chance, environment and files.
package struct Surroundings: Sendable {
    /// The seconds since 1970 by this machine's clock, with a fraction.
    package var now: @Sendable () -> Double
    /// Waits, or ends early where the task is cancelled.
    package var sleep: @Sendable (Duration) async -> Void
    /// A random number, 0 ..< 1.
    package var chance: @Sendable () -> Double
    /// The environment.
    package var environment: [String: String]
    /// Reads a small file; nil where it cannot be read.
    package var read: @Sendable (String) -> Bytes?

    /// The most bytes of a file that is read.
    package static let greatestFile = 1_048_576

    /// Takes the real ones.
    package init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        now = { Date().timeIntervalSince1970 }
        sleep = { try? await Task.sleep(for: $0) }
        chance = { Double.random(in: 0..<1) }
        self.environment = environment
        read = Self.file
    }

    /// A variable of the environment; a blank one is as good as none.
    package func variable(_ name: String) -> String? {
        guard let value = environment[name]?.trimmingCharacters(in: .whitespaces), !value.isEmpty else { return nil }
        return value
    }

    private static func file(_ path: String) -> Bytes? {
        guard let handle = FileHandle(forReadingAtPath: path) else { return nil }
        defer { try? handle.close() }
        guard let data = try? handle.read(upToCount: greatestFile + 1), data.count <= greatestFile else { return nil }
        return Bytes(data)
    }
}

/// The time that one call of a provider has, over all its attempts.
package struct Deadline: Sendable {
    private let end: ContinuousClock.Instant

    /// Begins now.
    package init(after duration: Duration) { end = ContinuousClock.now.advanced(by: duration) }

    /// What is left; negative once it is over.
    package var remaining: Duration { ContinuousClock.now.duration(to: end) }

    /// The time for one attempt: `most`, or what is left.
    package func attempt(_ most: Duration) -> Duration { max(.zero, min(most, remaining)) }
}
