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
    /// The schedules, in the order of the file.
    package var schedules: [ScheduleDeclaration] = []
    /// What was declared but does nothing yet, in words: `hook "before"`.
    package var inactive: [String]

    /// Makes a configuration.
    package init(
        file: String, hash: String, database: DatabaseLocation, keyrings: [KeyringDeclaration] = [],
        columns: [ColumnDeclaration] = [], providers: [ProviderDeclaration] = [], inactive: [String] = []
    ) {
        self.file = file
        self.hash = hash
        self.database = database
        self.keyrings = keyrings
        self.columns = columns
        self.providers = providers
        self.inactive = inactive
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

    /// Makes a declaration.
    package init(
        path: ColumnPath, was: ColumnPath? = nil, keyring: Name, key: [String] = [],
        context: ValueContext.Scheme = .none,
        predicate: String? = nil, plaintext: PlaintextPolicy = .refuse, assignments: [ColumnTarget.Assignment] = []
    ) {
        self.path = path
        self.was = was
        self.keyring = keyring
        self.key = key
        self.context = context
        self.predicate = predicate
        self.plaintext = plaintext
        self.assignments = assignments
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
}
