package import KeyModel
internal import PluginKit
internal import Storage

extension ControlSession {
    /// Brings keyrings and columns in line with a configuration.
    ///
    /// What is no longer declared stays recorded and is marked so; nothing is ever removed here.
    ///
    /// - Throws: ``ControlStoreError`` with `callerConfigurationConflict` where a keyring would change its core, or a column
    ///   its keyring, its context or its key, while values depend on them.
    package func apply(_ configuration: Configuration, at time: Timestamp, actor: String) throws {
        try storage.execute("UPDATE \(control: "keyrings") SET is_declared = 0")
        for declaration in configuration.keyrings { try apply(declaration) }
        let present = try columns()
        try storage.execute("UPDATE \(control: "columns") SET is_declared = 0")
        var claims: [Int64: ColumnDeclaration] = [:]
        for declaration in configuration.columns {
            guard let record = try recorded(declaration, among: present, beside: configuration.columns) else {
                continue
            }
            guard claims.updateValue(declaration, forKey: record.id) == nil else { throw twice(declaration, record) }
        }
        // A path may pass from one column to another, so that those which exist are moved before new ones take their names.
        for record in present {
            if let declaration = claims[record.id] { try update(record, as: declaration) }
        }
        let claimed = Set(claims.values)
        for declaration in configuration.columns where !claimed.contains(declaration) {
            try insert(declaration, after: present)
        }
        try acknowledge(configuration.columns)
        try record(configuration: configuration, at: time, actor: actor)
    }

    private func apply(_ declaration: KeyringDeclaration) throws {
        let name = declaration.name.description
        let rows = try storage.query("SELECT core, options FROM \(control: "keyrings") WHERE name = \(name)")
        let options = try JSONText.encode(declaration.options)
        if let row = rows.first, try row.text(0) != declaration.core || row.text(1) != options {
            let versions = try storage.query("SELECT 1 FROM \(control: "key_versions") WHERE keyring = \(name)")
            guard versions.isEmpty else {
                throw ControlStoreError(
                    .callerConfigurationConflict,
                    "cannot change the core or its options of keyring \"\(name)\": it has keys of core \"\(try row.text(0))\"",
                    hint: "Declare a new keyring with the other core and move its columns there."
                )
            }
        }
        let policy = declaration.policy
        try storage.execute(
            """
            INSERT INTO \(control: "keyrings") (name, core, options, provider, consumers, max_age_ms, max_seals, keep_ms,
                backup, is_declared)
            VALUES (\(name), \(declaration.core), \(options), \(declaration.provider.description),
                \(try JSONText.encode(declaration.consumers.map(\.description))), \(policy.maxAge?.wholeMilliseconds),
                \(policy.maxSeals.map(Int64.init(clamping:))), \(policy.keep?.wholeMilliseconds), \(policy.backup.rawValue), 1)
            ON CONFLICT (name) DO UPDATE SET core = excluded.core, options = excluded.options,
                provider = excluded.provider, consumers = excluded.consumers, max_age_ms = excluded.max_age_ms,
                max_seals = excluded.max_seals, keep_ms = excluded.keep_ms, backup = excluded.backup, is_declared = 1
            """
        )
    }

    /// The record that a declaration stands for: the one of its former name if it has one, else the one at its place that no
    /// other declaration has moved away from there.
    private func recorded(
        _ declaration: ColumnDeclaration, among present: [ColumnRecord], beside all: [ColumnDeclaration]
    ) throws -> ColumnRecord? {
        if let former = declaration.was {
            let found =
                present.first { $0.logicalName == former.description }
                ?? present.first { $0.declaration.path == former }
            if let found { return found }
        }
        guard let here = present.first(where: { $0.declaration.path == declaration.path }) else { return nil }
        let isMoved = all.contains { other in
            other != declaration
                && other.was.map { $0.description == here.logicalName || $0 == here.declaration.path } ?? false
        }
        return isMoved ? nil : here
    }

    private func twice(_ declaration: ColumnDeclaration, _ record: ColumnRecord) -> ControlStoreError {
        ControlStoreError(
            .callerConfigurationConflict,
            "cannot take up column \"\(declaration.path)\": another one stands for \"\(record.logicalName)\" too",
            hint: "Give \"was\" to the one that was renamed, and to no other."
        )
    }

    private func update(_ record: ColumnRecord, as declaration: ColumnDeclaration) throws {
        try refuseContradiction(of: declaration, with: record)
        let place = declaration.path.description
        try storage.execute(
            """
            UPDATE \(control: "columns") SET path = \(place), predicate = \(declaration.predicate),
                keyring = \(declaration.keyring.description), plaintext = \(declaration.plaintext.rawValue),
                key_columns = \(try JSONText.encode(declaration.key)), context = \(Int(declaration.context.rawValue)),
                assignments = \(try JSONText.encode(declaration.assignments.map(StoredAssignment.init))), is_declared = 1
            WHERE id = \(record.id)
            """
        )
    }

    private func insert(_ declaration: ColumnDeclaration, after present: [ColumnRecord]) throws {
        let logicalName = (declaration.was ?? declaration.path).description
        if let taken = present.first(where: { $0.logicalName == logicalName }) { throw twice(declaration, taken) }
        try storage.execute(
            """
            INSERT INTO \(control: "columns") (id, logical_name, path, keyring, key_columns, context, predicate, plaintext,
                assignments, is_declared, is_fenced)
            SELECT coalesce(max(id), 0) + 1, \(logicalName), \(declaration.path.description),
                \(declaration.keyring.description), \(try JSONText.encode(declaration.key)),
                \(Int(declaration.context.rawValue)), \(declaration.predicate), \(declaration.plaintext.rawValue),
                \(try JSONText.encode(declaration.assignments.map(StoredAssignment.init))), 1, 0
            FROM \(control: "columns")
            """
        )
    }

    /// Replaces what is acknowledged of columns that are declared.
    private func acknowledge(_ declarations: [ColumnDeclaration]) throws {
        try storage.execute("DELETE FROM \(control: "column_acknowledgements")")
        for record in try columns() where record.isDeclared {
            let declaration = declarations.first { $0.path == record.declaration.path }
            for known in (declaration?.acknowledged ?? []).sorted(by: { $0.rawValue < $1.rawValue }) {
                try storage.execute(
                    """
                    INSERT INTO \(control: "column_acknowledgements") (column_id, what)
                    VALUES (\(record.id), \(known.rawValue))
                    """
                )
            }
        }
    }

    private func refuseContradiction(of declaration: ColumnDeclaration, with record: ColumnRecord) throws {
        let old = record.declaration
        let versions = try storage.query(
            "SELECT 1 FROM \(control: "key_versions") WHERE keyring = \(old.keyring.description)"
        )
        guard !versions.isEmpty else { return }
        let change: (what: String, present: String)? =
            if old.keyring != declaration.keyring {
                ("keyring", quoted(old.keyring.description))
            } else if old.context != declaration.context {
                ("context", quoted("\(old.context)"))
            } else if old.context == .row, old.key != declaration.key {
                ("key", old.key.map(quoted).joined(separator: ", "))
            } else { nil }
        guard let (what, present) = change else { return }
        throw ControlStoreError(
            .callerConfigurationConflict,
            "cannot change the \(what) of column \"\(declaration.path)\": its values are bound to \(present)",
            hint: "Write \(what) = \(present) in the configuration; only \"keyturn convert\" binds values anew."
        )
    }
}
