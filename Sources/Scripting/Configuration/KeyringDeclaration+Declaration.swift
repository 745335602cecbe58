internal import ControlStore
internal import Frames
internal import KeyModel
internal import PluginKit

extension KeyringDeclaration {
    /// What else is declared or known.
    struct Surroundings {
        /// The cores that may be named.
        let cores: [CoreDescriptor]
        /// The providers declared.
        let providers: [Name]
        /// Whether a backup is a condition where the keyring does not say.
        let backup: KeyringPolicy.Backup
    }

    /// Reads a `keyring "name" { … }`.
    init(_ declaration: Declaration, name: Name, in surroundings: Surroundings) throws(ScriptingError) {
        let core = try Self.core(declaration, surroundings.cores)
        let words: Set = ["core", "provider", "max_age", "max_seals", "keep", "backup", "consumers"]
        let fields = try Fields(declaration, known: words.union(core.options))
        var options: CoreOptions = [:]
        for option in core.options.sorted() { options[option] = try fields.constantText(option) }
        self.init(
            name: name, core: core.name, options: options,
            policy: KeyringPolicy(
                maxAge: try fields.duration("max_age"), maxSeals: try fields.count("max_seals"),
                keep: try fields.duration("keep"),
                backup: try fields.choice("backup", of: KeyringPolicy.Backup.self) ?? surroundings.backup),
            provider: try Self.provider(fields, surroundings.providers),
            consumers: try fields.names("consumers") ?? [])
    }

    /// The core, found first, since it says which other words are known.
    private static func core(
        _ declaration: Declaration, _ cores: [CoreDescriptor]
    ) throws(ScriptingError) -> CoreDescriptor {
        let everything = Set(declaration.body?.names ?? [])
        let fields = try Fields(declaration, known: everything)
        let name = try fields.text("core") ?? "kr1"
        guard let core = cores.first(where: { $0.name == name }) else {
            throw fields.unknown("core", name, among: cores.map(\.name))
        }
        return core
    }

    private static func provider(_ fields: Fields, _ declared: [Name]) throws(ScriptingError) -> Name {
        let name = try fields.name("provider", else: "local")
        guard name.description == "local" || declared.contains(name) else {
            throw fields.unknown("provider", name.description, among: declared.map(\.description) + ["local"])
        }
        return name
    }
}

extension FrameValue {
    /// The names of a map.
    var names: [String]? {
        guard case .map(let entries) = self else { return nil }
        return Array(entries.keys)
    }
}
