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
    /// - Parameters:
    ///   - file: The `keyturn.lua`.
    ///   - scripts: The folder of further texts, most often `scripts` in the instance's directory; they are run after the file
    ///     and may declare, too. A folder that is not there holds none.
    /// - Returns: What the texts declare, validated.
    /// - Throws: ``ScriptingError``, whose message begins with the file and the line where there is one.
    /// - Important: Cancelling does not shorten it; it ends within the limits, 10 s unless told otherwise.
    package func load(file: String, scripts: String? = nil) async throws(ScriptingError) -> Configuration {
        try await loadScript(file: file, scripts: scripts).configuration
    }

    /// Reads a configuration and keeps its texts, so that its functions can be called as they were read.
    ///
    /// - Throws: As ``load(file:scripts:)``.
    package func loadScript(
        file: String, scripts: String? = nil
    ) async throws(ScriptingError) -> (configuration: Configuration, script: ConfigurationScript) {
        let source = try SourceFile(path: file)
        var library = ScriptLibrary()
        if let scripts { library = try SourceFile.library(in: scripts) }
        let texts = [ScriptLibrary.Text(name: source.name, bytes: source.bytes)] + library.texts
        let path = try WorkerLocation.find(workerPath)
        let worker = LuaWorker(path: path, time: limits.time + .milliseconds(500))
        let answer = try await worker.ask(
            ["kind": "configure", "sources": ScriptLibrary(texts: texts).frame, "limits": limits.frame],
            purpose: "reading \(source.name)")
        let declarations = try Declaration.all(in: answer, file: source.name)
        var builder = ConfigurationBuilder(file: source.name, folder: source.folder, cores: cores)
        var configuration = try builder.configuration(
            of: declarations, path: source.path, hash: Self.hash(of: source, library))
        try ScheduleTrial(configuration).refuseMalformed()
        configuration.mentions = library.texts.reduce(into: MentionedNames(in: source.bytes).names) {
            $0.formUnion(MentionedNames(in: $1.bytes).names)
        }
        return (configuration, ConfigurationScript(texts: ScriptLibrary(texts: texts), workerPath: path))
    }

    /// The file's own hash, or, where there are further texts, one over the names and hashes of all.
    private static func hash(of source: SourceFile, _ library: ScriptLibrary) -> String {
        guard !library.texts.isEmpty else { return source.hash }
        let lines = library.texts.map { "\(ContentHash.sha256($0.bytes)) \($0.name)\n" }
        return ContentHash.sha256(Array((["\(source.hash) \(source.name)\n"] + lines).joined().utf8))
    }
}
