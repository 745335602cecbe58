package import Foundation

/// A folder of its own in which `keyturn` and others run; it goes with the value.
package final class Sandbox {
    /// The folder.
    package let folder: URL
    private let program: String
    private var count = 0
    /// Variables that every program in it gets besides the usual ones.
    package var variables: [String: String] = [:]

    /// Makes the folder.
    package init() throws {
        program = try BuiltProgram.keyturn()
        folder = FileManager.default.temporaryDirectory.appending(path: "keyturn-e2e-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder.appending(path: "io"), withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// A file in the folder.
    package func path(_ name: String) -> String { folder.appending(path: name).path }

    /// Writes a file into the folder.
    package func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: folder.appending(path: name))
    }

    /// Copies a fixture into the folder, writable.
    package func copy(_ fixture: String) throws {
        let source = BuiltProgram.folder("Tests/Fixtures").appending(path: fixture)
        try Data(contentsOf: source).write(to: folder.appending(path: source.lastPathComponent))
    }

    /// Starts `keyturn` on the instance `D` of this folder.
    package func start(
        _ arguments: String..., input: String = "", dyingAt point: String? = nil
    ) throws -> RunningProgram { try start(arguments: arguments, input: input, dyingAt: point) }

    /// Starts `keyturn` on the instance `D` of this folder, which may die at a durable point.
    package func start(arguments: [String], input: String = "", dyingAt point: String? = nil) throws -> RunningProgram {
        var environment = ["KEYTURN_INSTANCE": path("D")]
        environment["KEYTURN_DIE_AT"] = point
        return try spawn(program, arguments, input: input, environment: environment)
    }

    /// Runs `keyturn` on the instance `D` of this folder to its end.
    @discardableResult
    package func keyturn(_ arguments: String..., input: String = "") async throws -> ProgramOutput {
        try await start(arguments: arguments, input: input).wait()
    }

    /// Starts any program in this folder.
    package func program(_ path: String, _ arguments: [String]) throws -> RunningProgram {
        try spawn(path, arguments, input: "", environment: [:])
    }

    /// Runs a script of the tests with Python, which has `cryptography`.
    package func python(_ script: String, _ arguments: String..., input: String = "") async throws -> ProgramOutput {
        let file = BuiltProgram.folder("Tests/ToolTesting").appending(path: script).path
        return try await spawn("python3", [file] + arguments, input: input, environment: [:]).wait().expecting()
    }

    /// Runs any program in this folder.
    package func run(_ program: String, _ arguments: String..., input: String = "") async throws -> ProgramOutput {
        try await spawn(program, arguments, input: input, environment: [:]).wait()
    }

    /// Has another process write a program: one that this process writes could not be started while any child of this
    /// process still holds it open.
    package func writeProgram(_ text: String, to name: String) async throws {
        _ = try await run("/bin/sh", "-c", "cat >\"$0\" && chmod 755 \"$0\"", path(name), input: text).expecting()
    }

    /// Runs another program in this folder to its end.
    package func run(_ program: String, _ arguments: [String]) async throws -> ProgramOutput {
        try await spawn(program, arguments, input: "", environment: [:]).wait()
    }

    private func spawn(
        _ program: String, _ arguments: [String], input: String, environment: [String: String]
    ) throws -> RunningProgram {
        count += 1
        try write(input, to: "io/\(count).in")
        let inherited = ProcessInfo.processInfo.environment.filter { ["PATH", "HOME", "TMPDIR"].contains($0.key) }
        let streams = RunningProgram.Streams(
            input: path("io/\(count).in"), output: path("io/\(count).out"), error: path("io/\(count).err"))
        return try RunningProgram(
            program, arguments, in: folder.path,
            environment: inherited.merging(environment) { $1 }.merging(variables) { $1 }, streams: streams)
    }
}
