internal import ControlStore
internal import Frames
internal import KeyModel
internal import PluginKit
internal import Storage

/// Turns declarations into a configuration; pure.
struct ConfigurationBuilder {
    /// The name of the file, for messages.
    let file: String
    /// The folder from which relative paths are taken.
    let folder: String
    /// The cores that keyrings may name.
    let cores: [CoreDescriptor]

    private var firstLines: [String: Int64] = [:]
    private var hooks: [HookDeclaration] = []
    private var schedules: [ScheduleDeclaration] = []
    private var providers: [ProviderDeclaration] = []
    private var keyrings: [KeyringDeclaration] = []
    private var columns: [ColumnDeclaration] = []
    private var roles: [RoleDeclaration] = []
    private var webhooks: [WebhookDeclaration] = []
    private var commands: [CommandDeclaration] = []

    /// Makes a builder.
    init(file: String, folder: String, cores: [CoreDescriptor]) {
        self.file = file
        self.folder = folder
        self.cores = cores
    }

    /// Validates declarations, whatever order they stand in.
    ///
    /// - Throws: ``ScriptingError`` with `callerConfigurationInvalid` for the first that is wrong.
    mutating func configuration(
        of declarations: [Declaration], path: String, hash: String
    ) throws(ScriptingError) -> Configuration {
        let grouped = Dictionary(grouping: declarations, by: \.word)
        let database = try self.database(grouped[.database] ?? [])
        for hook in grouped[.hook] ?? [] { try addHook(hook) }
        for provider in grouped[.provider] ?? [] { try addProvider(provider) }
        for keyring in grouped[.keyring] ?? [] { try addKeyring(keyring) }
        for column in grouped[.column] ?? [] { try addColumn(column) }
        for schedule in grouped[.schedule] ?? [] { try addSchedule(schedule) }
        for role in grouped[.role] ?? [] { try addRole(role) }
        for webhook in grouped[.webhook] ?? [] { try addWebhook(webhook) }
        for command in grouped[.command] ?? [] { try addCommand(command) }
        var configuration = Configuration(
            file: path, hash: hash, database: database, keyrings: keyrings, columns: columns, providers: providers,
            backup: try backup(grouped[.backup] ?? [], of: database))
        configuration.roles = roles
        configuration.webhooks = webhooks
        configuration.commands = commands
        configuration.hooks = hooks
        configuration.schedules = schedules
        return configuration
    }

    private func database(_ declarations: [Declaration]) throws(ScriptingError) -> DatabaseLocation {
        guard let declaration = declarations.first else {
            throw ScriptingError(
                .callerConfigurationInvalid, "\(file): no database is declared",
                hint: "Begin with database \"sqlite:PATH\" or database \"postgresql://…\".")
        }
        if let second = declarations.dropFirst().first { throw twice(second, declaration.place.line) }
        return try DatabaseLocation(declaration, folder: folder)
    }

    private func backup(
        _ declarations: [Declaration], of database: DatabaseLocation
    ) throws(ScriptingError) -> BackupDeclaration? {
        guard let declaration = declarations.first else { return nil }
        if let second = declarations.dropFirst().first { throw twice(second, declaration.place.line) }
        return try BackupDeclaration(declaration, folder: folder, database: database, keyrings: keyrings)
    }

    private mutating func addProvider(_ declaration: Declaration) throws(ScriptingError) {
        let name = try self.name(declaration)
        try claim(declaration)
        providers.append(try ProviderDeclaration(declaration, name: name))
    }

    private mutating func addKeyring(_ declaration: Declaration) throws(ScriptingError) {
        let name = try self.name(declaration)
        try claim(declaration)
        let surroundings = KeyringDeclaration.Surroundings(
            cores: cores, providers: providers.map(\.name),
            backup: hooks.contains { $0.stage == .before } ? .required : .optional)
        keyrings.append(try KeyringDeclaration(declaration, name: name, in: surroundings))
    }

    private mutating func addColumn(_ declaration: Declaration) throws(ScriptingError) {
        let column = try ColumnDeclaration(declaration, keyrings: keyrings, cores: cores)
        // Two spellings may name one column.
        try claim(declaration, as: "column \(column.path)")
        columns.append(column)
    }

    private mutating func addHook(_ declaration: Declaration) throws(ScriptingError) {
        let word = try text(declaration)
        guard let stage = HookDeclaration.Stage(rawValue: word) else {
            throw unknown(declaration, word, "stage", among: HookDeclaration.Stage.allCases.map(\.rawValue))
        }
        let index = hooks.count { $0.stage == stage } + 1
        var hook = HookDeclaration(
            stage: stage, index: index, file: declaration.place.file, line: declaration.place.line)
        if declaration.body?.typeName != "function" {
            guard case .map? = declaration.body, declaration.body?.typeName == nil else {
                let found = declaration.body?.found ?? "nothing"
                throw declaration.place.error("wants a function, but \(found) stands there")
            }
            let fields = try Fields(declaration, known: ["run", "timeout"])
            guard fields["run"]?.typeName == "function" else {
                throw declaration.place.error(
                    "its table names no function", hint: "Write { timeout = \"2h\", run = function(run) … end }.")
            }
            hook.timeout = try fields.timeout() ?? hook.timeout
        }
        hooks.append(hook)
    }

    private mutating func addSchedule(_ declaration: Declaration) throws(ScriptingError) {
        let name = try name(declaration)
        try claim(declaration)
        schedules.append(try ScheduleDeclaration(declaration, name: name, keyrings: keyrings.map(\.name)))
    }

    private mutating func addRole(_ declaration: Declaration) throws(ScriptingError) {
        let role = try text(declaration)
        let known = ["viewer", "operator", "server_admin"]
        guard known.contains(role) else { throw unknown(declaration, role, "role", among: known) }
        try claim(declaration)
        let fields = try Fields(declaration, known: ["users", "groups"])
        roles.append(
            RoleDeclaration(
                role: role, users: try fields.texts("users") ?? [], groups: try fields.texts("groups") ?? []))
    }

    private mutating func addWebhook(_ declaration: Declaration) throws(ScriptingError) {
        let name = try name(declaration)
        try claim(declaration)
        webhooks.append(try WebhookDeclaration(declaration, name: name))
    }

    private mutating func addCommand(_ declaration: Declaration) throws(ScriptingError) {
        let name = try name(declaration)
        try claim(declaration)
        commands.append(try CommandDeclaration(declaration, name: name, folder: folder))
    }

    /// The text that follows a word.
    private func text(_ declaration: Declaration) throws(ScriptingError) -> String {
        guard case .string(let text) = declaration.name else {
            throw declaration.place.error("wants a name in quotes, but \(declaration.name.found) stands there")
        }
        return text
    }

    private func name(_ declaration: Declaration) throws(ScriptingError) -> Name {
        let text = try text(declaration)
        do throws(KeyModelError) { return try Name(text) } catch {
            throw declaration.place.error("this is no name", hint: error.hint)
        }
    }

    /// Notes a name, and refuses one that is taken.
    private mutating func claim(_ declaration: Declaration, as key: String? = nil) throws(ScriptingError) {
        let key = key ?? declaration.place.thing
        if let first = firstLines[key] { throw twice(declaration, first) }
        firstLines[key] = declaration.place.line
    }

    private func twice(_ declaration: Declaration, _ first: Int64) -> ScriptingError {
        declaration.place.error("declared twice, first in line \(first)", hint: "Keep one of the two.")
    }

    private func unknown(
        _ declaration: Declaration, _ text: String, _ what: String, among known: [String]
    ) -> ScriptingError {
        let hint = nearest(to: text, among: known).map { "Did you mean \"\($0)\"?" }
        return declaration.place.error("no such \(what)", hint: hint ?? "Known: \(known.joined(separator: ", ")).")
    }
}
