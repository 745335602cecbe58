package import KeyModel
internal import Storage

extension ControlSession {
    /// Every registered plugin, by name; none where the schema is older than the catalogue.
    ///
    /// - Throws: ``StorageError`` or ``ControlStoreError``.
    package func plugins() throws -> [PluginRecord] {
        guard try storage.controlTables().contains("plugins") else { return [] }
        let rows = try storage.query(
            """
            SELECT name, path, sha256, kind, version, registered_at, registered_by FROM \(control: "plugins") ORDER BY name
            """
        )
        return try rows.map { row in
            PluginRecord(
                name: try Name(try row.text(0)), path: try row.text(1), sha256: try row.text(2), kind: try row.text(3),
                version: try row.text(4), registeredAt: try row.timestamp(5), registeredBy: try row.text(6))
        }
    }

    /// Registers a plugin, in the place of an older one of its name.
    ///
    /// - Throws: ``StorageError``.
    package func register(_ plugin: PluginRecord) throws {
        try storage.execute(
            """
            INSERT INTO \(control: "plugins") (name, path, sha256, kind, version, registered_at, registered_by)
            VALUES (\(plugin.name.description), \(plugin.path), \(plugin.sha256), \(plugin.kind), \(plugin.version),
                    \(plugin.registeredAt), \(plugin.registeredBy))
            ON CONFLICT (name) DO UPDATE SET path = excluded.path, sha256 = excluded.sha256, kind = excluded.kind,
                version = excluded.version, registered_at = excluded.registered_at,
                registered_by = excluded.registered_by
            """
        )
    }

    /// Removes a plugin from the catalogue.
    ///
    /// - Throws: ``ControlStoreError`` with `callerNotFound`, or ``StorageError``.
    package func unregisterPlugin(_ name: Name) throws {
        let known = try plugins().map(\.name)
        guard known.contains(name) else {
            throw ControlStoreError(
                .callerNotFound, "there is no plugin \"\(name)\"",
                hint: known.isEmpty
                    ? "None is registered."
                    : "The plugins are \(known.map(\.description).joined(separator: ", ")).")
        }
        try storage.execute("DELETE FROM \(control: "plugins") WHERE name = \(name.description)")
    }
}
