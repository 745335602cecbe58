internal import Foundation

/// Finds the program `keyturn-lua`.
enum WorkerLocation {
    /// The program's path: the one given, else `KEYTURN_LUA`, else beside the running executable, else in
    /// `../libexec/keyturn` from there.
    ///
    /// - Throws: ``ScriptingError`` with `internalWorkerMissing`.
    static func find(_ given: String?) throws(ScriptingError) -> String {
        if let named = given ?? ProcessInfo.processInfo.environment["KEYTURN_LUA"] {
            guard FileManager.default.isExecutableFile(atPath: named) else { throw missing }
            return named
        }
        guard let found = candidates.first(where: FileManager.default.isExecutableFile(atPath:)) else { throw missing }
        return found
    }

    private static var candidates: [String] {
        let running = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let folder = URL(filePath: running).deletingLastPathComponent()
        return ["keyturn-lua", "../libexec/keyturn/keyturn-lua"].map { folder.appending(path: $0).path }
    }

    private static var missing: ScriptingError {
        ScriptingError(
            .internalWorkerMissing, "cannot run Lua: the program keyturn-lua is not there or not executable",
            hint: "Install keyturn-lua beside keyturn, or name its path in KEYTURN_LUA.")
    }
}
