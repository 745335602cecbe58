package import KeyModel
package import PluginKit
package import Storage

/// What a `keyturn.lua` declares, validated; pure data.
package struct Configuration: Hashable, Sendable {
    /// The file it came from, absolute.
    package var file: String
    /// SHA-256 of the file, in hexadecimal; recorded with each run.
    package var hash: String
    /// The database to protect.
    package var database: DatabaseLocation
    /// The keyrings, in the order of the file.
    package var keyrings: [KeyringDeclaration]
    /// The encrypted columns, in the order of the file.
    package var columns: [ColumnDeclaration]
    /// The key providers other than the built-in `local`.
    package var providers: [ProviderDeclaration]
    /// Where backups go and how long they stay; nil where none are declared.
    package var backup: BackupDeclaration?
    /// Who may do what; empty where the file declares no role.
    package var roles: [RoleDeclaration] = []
    /// The addresses that scripts may post to.
    package var webhooks: [WebhookDeclaration] = []
    /// The programs that scripts may run.
    package var commands: [CommandDeclaration] = []
    /// The dotted names that stand in the text outside of comments and quotes, such as `backups.create`: what its functions
    /// could call.
    package var mentions: Set<String> = []
    /// The hooks, in the order in which they were declared.
    package var hooks: [HookDeclaration] = []
    /// The schedules, in the order in which they were declared.
    package var schedules: [ScheduleDeclaration] = []

    /// Makes a configuration.
    package init(
        file: String, hash: String, database: DatabaseLocation, keyrings: [KeyringDeclaration] = [],
        columns: [ColumnDeclaration] = [], providers: [ProviderDeclaration] = [],
        backup: BackupDeclaration? = nil
    ) {
        self.file = file
        self.hash = hash
        self.database = database
        self.keyrings = keyrings
        self.columns = columns
        self.providers = providers
        self.backup = backup
    }
}

/// A `role "name" { … }`: who has it.
package struct RoleDeclaration: Hashable, Sendable {
    /// The role: `viewer`, `operator` or `server_admin`.
    package var role: String
    /// The users that have it, by name.
    package var users: [String]
    /// The groups whose members have it, by name.
    package var groups: [String]

    /// Makes a declaration.
    package init(role: String, users: [String], groups: [String]) {
        self.role = role
        self.users = users
        self.groups = groups
    }
}

/// A `webhook "name" { … }`: an address that scripts may post to.
package struct WebhookDeclaration: Hashable, Sendable {
    /// Its name.
    package var name: Name
    /// Where it posts to; it may hold a secret and is never shown.
    package var url: String
    /// How long an answer may take.
    package var timeout: Duration

    /// Makes a declaration.
    package init(name: Name, url: String, timeout: Duration) {
        self.name = name
        self.url = url
        self.timeout = timeout
    }
}

/// A `command "name" { … }`: a program that scripts may run.
package struct CommandDeclaration: Hashable, Sendable {
    /// Its name.
    package var name: Name
    /// The program, absolute, and its first arguments.
    package var argv: [String]
    /// How long it may take.
    package var timeout: Duration

    /// Makes a declaration.
    package init(name: Name, argv: [String], timeout: Duration) {
        self.name = name
        self.argv = argv
        self.timeout = timeout
    }
}

/// Which database an instance protects.
package enum DatabaseLocation: Hashable, Sendable, CustomStringConvertible {
    /// A file of SQLite, absolute.
    case sqlite(path: String)
    /// A connection string of libpq, `postgresql://…`; it may hold a password and is never printed.
    case postgresql(url: String)

    /// The location as it may be shown.
    package var description: String {
        switch self {
        case .sqlite(let path): "sqlite:\(path)"
        case .postgresql: "postgresql"
        }
    }
}

/// A `keyring "name" { … }`.
package struct KeyringDeclaration: Hashable, Sendable {
    /// Its name.
    package var name: Name
    /// The core, `kr1` where none is given.
    package var core: String
    /// Options for the core.
    package var options: CoreOptions
    /// Its policy.
    package var policy: KeyringPolicy
    /// The provider that wraps its keys, `local` where none is given.
    package var provider: Name
    /// The applications that hold its keys themselves.
    package var consumers: [Name]

    /// Makes a declaration.
    package init(
        name: Name, core: String, options: CoreOptions = [:], policy: KeyringPolicy = KeyringPolicy(), provider: Name,
        consumers: [Name] = []
    ) {
        self.name = name
        self.core = core
        self.options = options
        self.policy = policy
        self.provider = provider
        self.consumers = consumers
    }
}

/// A `column "table.column" { … }`.
package struct ColumnDeclaration: Hashable, Sendable {
    /// What happens to a value that is neither sealed nor empty.
    package enum PlaintextPolicy: String, CaseIterable, Hashable, Sendable {
        /// It is quarantined.
        case refuse
        /// It is left as it is.
        case keep
        /// It is sealed.
        case seal
    }

    /// What stands against a run until whoever declares the column says that it is known.
    package enum Acknowledgement: String, CaseIterable, Hashable, Sendable {
        /// A generated column or an expression index is computed from the column, and from then on from sealed values.
        case computed
        /// A subscription writes to the column's table; what arrives under an older key is refused by the fence.
        case logicalReplication = "logical_replication"
    }

    /// Where the column stands now.
    package var path: ColumnPath
    /// Where it stood when it was first declared, if it was renamed since; its values stay bound to that name.
    package var was: ColumnPath?
    /// The keyring that seals it.
    package var keyring: Name
    /// The key columns; empty takes the table's primary key.
    package var key: [String]
    /// How much of its place a value is bound to.
    package var context: ValueContext.Scheme
    /// SQL that picks the rows that hold sealed values; nil for all.
    package var predicate: String?
    /// What happens to plaintext.
    package var plaintext: PlaintextPolicy
    /// What is written beside a value when a plaintext is sealed.
    package var assignments: [ColumnTarget.Assignment]
    /// What is known and stands against no run.
    package var acknowledged: Set<Acknowledgement>

    /// Makes a declaration.
    package init(
        path: ColumnPath, was: ColumnPath? = nil, keyring: Name, key: [String] = [],
        context: ValueContext.Scheme = .none,
        predicate: String? = nil, plaintext: PlaintextPolicy = .refuse, assignments: [ColumnTarget.Assignment] = [],
        acknowledged: Set<Acknowledgement> = []
    ) {
        self.path = path
        self.was = was
        self.keyring = keyring
        self.key = key
        self.context = context
        self.predicate = predicate
        self.plaintext = plaintext
        self.assignments = assignments
        self.acknowledged = acknowledged
    }
}

/// A `provider "name" { … }`.
package struct ProviderDeclaration: Hashable, Sendable {
    /// Its name.
    package var name: Name
    /// Its kind, such as `local` or `aws-kms`.
    package var kind: String
    /// Its settings.
    package var settings: [String: String]

    /// Makes a declaration.
    package init(name: Name, kind: String, settings: [String: String] = [:]) {
        self.name = name
        self.kind = kind
        self.settings = settings
    }

    /// Whether its key is a file of this machine.
    package var isKeyFile: Bool { kind == "local" }

    /// SHA-256 over everything that is declared of it but its name, in hexadecimal.
    package var fingerprint: String {
        let facts = ["", kind] + settings.sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value] }
        return ContentHash.sha256(facts.map { "\($0.utf8.count):\($0)" }.joined().utf8)
    }
}
