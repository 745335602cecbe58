package import ControlStore
internal import Frames
internal import KeyModel
package import PluginKit

/// Reads a `keyturn.lua`: the worker evaluates it, and what it declares is validated here.
package struct ConfigurationLoader: Sendable {
    private let workerPath: String?
    private let cores: [CoreDescriptor]
    private let limits: WorkerLimits

    /// Makes a loader.
    ///
    /// - Parameters:
    ///   - workerPath: The program `keyturn-lua`; nil takes `KEYTURN_LUA`, else the one beside the running executable,
    ///     else `../libexec/keyturn/keyturn-lua` from there.
    ///   - cores: The cores that keyrings may name.
    ///   - limits: What the script may use up.
    package init(workerPath: String? = nil, cores: [CoreDescriptor], limits: WorkerLimits = WorkerLimits()) {
        self.workerPath = workerPath
        self.cores = cores
        self.limits = limits
    }

    /// Reads a configuration; relative paths in it are taken from its folder.
    ///
    /// - Throws: ``ScriptingError``, whose message begins with the file and the line where there is one.
    /// - Important: Cancelling does not shorten it; it ends within the limits, 10 s unless told otherwise.
    package func load(file: String) async throws(ScriptingError) -> Configuration {
        let source = try SourceFile(path: file)
        let hash = source.hash
        let worker = LuaWorker(path: try WorkerLocation.find(workerPath), time: limits.time + .milliseconds(500))
        let answer = try await worker.ask(
            [
                "kind": "configure", "source": .binary(source.bytes), "chunkname": .string(source.name),
                "limits": limits.frame,
            ],
            purpose: "reading \(source.name)")
        let declarations = try Declaration.all(in: answer, file: source.name)
        var builder = ConfigurationBuilder(file: source.name, folder: source.folder, cores: cores)
        var configuration = try builder.configuration(of: declarations, path: source.path, hash: hash)
        configuration.mentions = MentionedNames(in: source.bytes).names
        return configuration
    }
}
