internal import ControlStore
internal import KeyModel
internal import PluginKit
internal import Storage

/// Holds a declared column against the database: what stands against rewriting it, and what to know before.
struct ColumnInspection: Sendable {
    let column: ColumnRecord
    let table: TableDescription?
    let refusals: [String]
    let warnings: [String]

    /// Whether what was stored must be compared before commit.
    var readsBack: Bool { table.map { !$0.triggers.isEmpty } ?? false }

    /// What the database says of the column; nil where it is gone.
    var description: ColumnDescription? { table?.column(column.declaration.path.column) }

    /// What the plan's hash covers of this column.
    var structure: String {
        let described = table.map { table in
            [
                table.column(column.declaration.path.column)?.declaredType ?? "-", table.uniqueKeys.description,
                table.triggers.map(\.definition).description, column.declaration.key.description,
            ].joined(separator: "|")
        }
        let declaration = column.declaration
        return [
            column.logicalName, declaration.path.description, declaration.predicate ?? "-",
            String(declaration.context.rawValue), declaration.plaintext.rawValue, "\(declaration.assignments)",
            described ?? "missing",
        ].joined(separator: "|") + known
    }

    /// What else writes to the table, and what is acknowledged; nothing for a column without either, as ever.
    private var known: String {
        let acknowledged = column.declaration.acknowledged.map(\.rawValue).sorted()
        let facts = (table?.subscriptions ?? []) + acknowledged
        return facts.isEmpty ? "" : "|\(facts)"
    }
}

/// Inspects columns; reads the catalogue only.
struct ColumnInspector {
    let session: any StorageSession
    let descriptor: CoreDescriptor
    let core: any EncryptionCore

    /// Holds a column against the database.
    func inspect(_ column: ColumnRecord) throws -> ColumnInspection {
        let path = column.declaration.path
        guard let table = try session.describe(path.table) else {
            return finding(column, nil, refusals: ["table \"\(path.table)\" is not there"])
        }
        guard let description = table.column(path.column) else {
            return finding(
                column, table,
                refusals: [
                    "table \"\(path.table)\" has no column \"\(path.column)\" "
                        + "(if it was renamed, declare its new name with was = \"\(path)\")"
                ])
        }
        var refusals = keyRefusals(column, table) + valueRefusals(column, table, description)
        if let predicate = column.declaration.predicate {
            do {
                try session.checkPredicate(predicate, on: path.table)
            } catch let error as StorageError {
                refusals.append("\"where\" of \"\(path)\": \(error.message)")
            }
        }
        return finding(column, table, refusals: refusals, warnings: warnings(column, table, description))
    }

    private static func list(_ names: [String]) -> String { names.map(quoted).joined(separator: ", ") }

    private func finding(
        _ column: ColumnRecord, _ table: TableDescription?, refusals: [String], warnings: [String] = []
    ) -> ColumnInspection {
        ColumnInspection(column: column, table: table, refusals: refusals, warnings: warnings)
    }

    private func keyRefusals(_ column: ColumnRecord, _ table: TableDescription) -> [String] {
        let key = column.declaration.key
        guard !key.isEmpty else {
            return [
                "table \"\(table.name)\" has no primary key; name columns that are unique and never null as \"key\""
            ]
        }
        let missing = key.filter { table.column($0) == nil }
        guard missing.isEmpty else {
            return missing.map { "table \"\(table.name)\" has no column \"\($0)\" for its key" }
        }
        let wanted = Set(key.map { $0.lowercased() })
        let isUnique = ([table.primaryKey] + table.uniqueKeys).contains { unique in
            !unique.isEmpty && Set(unique.map { $0.lowercased() }).isSubset(of: wanted)
        }
        return isUnique ? [] : ["\(key.joined(separator: ", ")) is no unique key of table \"\(table.name)\""]
    }

    private func valueRefusals(
        _ column: ColumnRecord, _ table: TableDescription, _ description: ColumnDescription
    ) -> [String] {
        let name = description.name
        let place = "column \"\(column.declaration.path)\""
        var refusals: [String] = []
        if (table.primaryKey + column.declaration.key).contains(where: { $0.lowercased() == name.lowercased() }) {
            refusals.append("\(place) is part of the key")
        }
        if table.foreignKeyColumns.contains(name) { refusals.append("\(place) is part of a foreign key") }
        if table.uniqueColumns.contains(name) {
            refusals.append("\(place) has a unique index, which cannot see equal plaintexts under two keys")
        }
        if description.isGenerated { refusals.append("\(place) is computed by the database") }
        let acknowledged = column.declaration.acknowledged
        if table.computedFromColumns.contains(name), !acknowledged.contains(.computed) {
            refusals.append(
                "a generated column or an expression index is computed from \(place), and would be from sealed values; drop "
                    + "it, or declare acknowledge = \"computed\" for the column")
        }
        if !table.subscriptions.isEmpty, !acknowledged.contains(.logicalReplication) {
            let effect =
                descriptor.keyID == .exact
                ? "is refused by the fence of \(place), which stops the subscription"
                : "lies under it in \(place) until somebody verifies"
            refusals.append(
                "table \"\(table.name)\" receives logical replication from subscription \(Self.list(table.subscriptions)): "
                    + "a row that arrives sealed under an older key \(effect); take the table out of the subscription, or "
                    + "declare acknowledge = \"logical_replication\" for the column")
        }
        if description.kind == .integer || description.kind == .uuid {
            refusals.append("\(place) is declared \(description.declaredType), which holds neither text nor bytes")
        }
        if description.holdsDocuments, !descriptor.forms.contains(.text) {
            refusals.append(
                "\(place) is declared \(description.declaredType), and core \"\(descriptor.name)\" writes bytes only, which no "
                    + "JSON string holds")
        }
        for assignment in column.declaration.assignments where table.column(assignment.column) == nil {
            refusals.append("table \"\(table.name)\" has no column \"\(assignment.column)\" to set")
        }
        return refusals
    }

    private func warnings(
        _ column: ColumnRecord, _ table: TableDescription, _ description: ColumnDescription
    ) -> [String] {
        let place = "column \"\(column.declaration.path)\""
        var warnings: [String] = []
        for trigger in table.triggers {
            warnings.append("each rewritten row fires trigger \"\(trigger.name)\" of table \"\(table.name)\"")
        }
        if !table.subscriptions.isEmpty {
            let effect = descriptor.keyID == .exact ? "it stops at" : "it brings"
            warnings.append(
                "subscription \(Self.list(table.subscriptions)) writes to table \"\(table.name)\": \(effect) rows whose "
                    + "\"\(description.name)\" is not sealed under the active key")
        }
        if table.computedFromColumns.contains(description.name) {
            warnings.append("a generated column or an expression index is computed anew from each rewritten \(place)")
        }
        if table.indexedColumns.contains(description.name) {
            warnings.append("an index covers \(place) and is rewritten too")
        }
        if let most = description.maximumLength {
            let fits = core.maximumStoredLength(plaintextBytes: 1, form: .text) <= most
            warnings.append(
                "\(place) takes \(most) characters\(fits ? "; longer values are refused by the database" : ", too few for any sealed value")"
            )
        }
        return warnings
    }
}
