internal import Foundation
internal import KeyModel

/// The programs of PostgreSQL, of one version, found by asking them.
struct PostgreSQLPrograms: Sendable {
    /// Their folder.
    let folder: String
    /// Such as `15.20`.
    let version: String
    let major: Int

    /// The folder of the programs that suit a server: of its major version if there are such, else of the next newer one.
    ///
    /// - Parameters:
    ///   - needed: The program that is wanted.
    ///   - server: The server's major version.
    ///   - exactly: Whether a newer version will not do, as for a copy of the server's files.
    ///   - environment: Where to look.
    /// - Returns: The programs.
    /// - Throws: ``BackupError`` with `providerProgramMissing` or `providerProgramTooOld`.
    static func find(
        _ needed: String, server: Int, exactly: Bool = false, environment: [String: String]
    ) throws -> PostgreSQLPrograms {
        let found = try folders(environment).compactMap { try look(in: $0, for: needed) }
        let fitting = found.filter { exactly ? $0.major == server : $0.major >= server }
        if let best = fitting.min(by: { $0.major < $1.major }) { return best }
        guard let newest = found.max(by: { $0.major < $1.major }) else {
            throw BackupError(
                .providerProgramMissing, "the program \(needed) is not installed",
                hint: "On Debian: apt-get install postgresql-client-\(server).")
        }
        throw BackupError(
            .providerProgramTooOld,
            "\(needed) \(newest.version) does not suit the server, which has version \(server)",
            hint:
                "Install the programs of PostgreSQL \(server); on Debian: apt-get install postgresql-client-\(server).")
    }

    /// One of the programs.
    func program(_ name: String, _ arguments: [String], environment: [String: String] = [:]) -> Program {
        Program(name: name, path: "\(folder)/\(name)", arguments: arguments, environment: environment)
    }

    /// Where a program may be: `KEYTURN_POSTGRESQL_BIN` alone if it is set, else each version's folder, then `PATH`.
    private static func folders(_ environment: [String: String]) -> [String] {
        if let named = environment["KEYTURN_POSTGRESQL_BIN"] { return [named] }
        let root = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        let path = (environment["PATH"] ?? "").split(separator: ":").map(String.init).filter { $0.hasPrefix("/") }
        return versions.map { "\(root)/\($0)/bin" } + path
    }

    private static func look(in folder: String, for program: String) throws -> PostgreSQLPrograms? {
        let path = "\(folder)/\(program)"
        guard access(path, X_OK) == 0 else { return nil }
        let asked = Program(name: program, path: path, arguments: ["--version"])
        // One that does not even say its version is none.
        guard let answer = try? ProgramOutput.of(asked, patience: .seconds(20)),
            let version = answer.split(separator: " ").first(where: { $0.first?.isNumber == true }),
            let major = Int(version.prefix { $0.isNumber })
        else { return nil }
        let text = version.trimmingCharacters(in: .whitespacesAndNewlines)
        return PostgreSQLPrograms(folder: folder, version: text, major: major)
    }
}

/// The output of a program that says little.
enum ProgramOutput {
    /// Runs a program and returns what it says, at most a mebibyte.
    static func of(_ program: Program, patience: Duration, isCancelled: Flag = Flag()) throws -> String {
        let (reading, writing) = try Descriptor.pipe()
        let running = try program.start(input: nil, output: writing)
        writing.close()
        let text = try collect(reading, running, patience: patience, isCancelled: isCancelled)
        try running.succeed(within: patience, isCancelled)
        return text
    }

    /// Reads what a program says to its end and keeps the first mebibyte.
    static func collect(
        _ reading: Descriptor, _ running: RunningProgram, patience: Duration, isCancelled: Flag
    ) throws -> String {
        let bytes = Locked<[UInt8]>([])
        _ = try Stream(
            source: reading, producer: running, patience: patience, isCancelled: isCancelled,
            look: { piece in bytes.with { if $0.count < 1 << 20 { $0 += piece } } }
        ).run()
        return String(decoding: bytes.with { $0 }, as: UTF8.self)
    }
}
