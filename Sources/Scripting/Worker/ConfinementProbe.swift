internal import Frames

/// Proves that a worker cannot reach outside: what it tried, and how each attempt ended.
package struct ConfinementProbe: Sendable {
    /// One attempt, made before and after confinement.
    package struct Attempt: Hashable, Sendable {
        /// What was tried, such as `open` or `fork`.
        package let name: String
        /// The error number of the system before confinement; 0 where it succeeded.
        package let free: Int64
        /// The error number under confinement; 1 is EPERM.
        package let confined: Int64

        /// Whether the filter of system calls refused it.
        package var isRefused: Bool { confined == 1 }
    }

    /// All attempts.
    package let attempts: [Attempt]

    /// Whether every attempt was refused.
    package var isConfined: Bool { !attempts.isEmpty && attempts.allSatisfy(\.isRefused) }

    /// Starts a worker and lets it try.
    ///
    /// - Parameter workerPath: The program `keyturn-lua`; nil looks for it as ``ConfigurationLoader`` does.
    /// - Returns: What was tried and how it ended.
    /// - Throws: ``ScriptingError`` with `internalWorkerMissing` or `internalWorkerFailed`.
    package static func run(workerPath: String? = nil) async throws(ScriptingError) -> ConfinementProbe {
        let worker = LuaWorker(path: try WorkerLocation.find(workerPath), time: .seconds(10))
        let answer = try await worker.ask(["kind": "probe"], purpose: "proving its confinement")
        guard answer["ok"] == true, let free = results(answer["free"]), let confined = results(answer["confined"]),
            free.map(\.name) == confined.map(\.name)
        else {
            throw ScriptingError(.internalWorkerFailed, "the Lua worker did not say how its attempts ended")
        }
        return ConfinementProbe(
            attempts: zip(free, confined).map { Attempt(name: $0.name, free: $0.number, confined: $1.number) })
    }

    private static func results(_ value: FrameValue?) -> [(name: String, number: Int64)]? {
        guard case .array(let entries) = value else { return nil }
        let results = entries.compactMap { entry -> (name: String, number: Int64)? in
            guard case .string(let name) = entry["name"], case .integer(let number) = entry["errno"] else { return nil }
            return (name, number)
        }
        return results.count == entries.count ? results : nil
    }
}
