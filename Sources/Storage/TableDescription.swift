/// What a database says of a table.
package struct TableDescription: Hashable, Sendable {
    /// The name.
    package let name: TableName
    /// The columns in their order.
    package let columns: [ColumnDescription]
    /// The columns of the primary key in its order; empty where there is none.
    package let primaryKey: [String]
    /// The column sets that are unique and cannot be null, the primary key among them.
    package let uniqueKeys: [[String]]
    /// The columns that take part in a foreign key, here or in a table that refers to this one.
    package let foreignKeyColumns: Set<String>
    /// The columns that an index, other than the primary key's, covers or computes from.
    package let indexedColumns: Set<String>
    /// The columns that a unique index other than the primary key covers.
    package let uniqueColumns: Set<String>
    /// The columns that a generated column or an expression index is computed from, as far as the engine tells.
    package let computedFromColumns: Set<String>
    /// The triggers that an update of the table fires, ours left out.
    package let triggers: [TriggerDescription]
    /// The subscriptions of logical replication that write to the table, to a part of it, or to what it is a part of.
    package let subscriptions: [String]
    /// About how many rows there are.
    package let estimatedRows: Int64
    /// About how many bytes the table and its indexes take.
    package let estimatedBytes: Int64
    /// Whether values may stand out of line, where overwriting frees no room until the engine reclaims it.
    package let storesOutOfLine: Bool

    /// Makes a description.
    package init(
        name: TableName, columns: [ColumnDescription], primaryKey: [String], uniqueKeys: [[String]],
        foreignKeyColumns: Set<String> = [], indexedColumns: Set<String> = [], uniqueColumns: Set<String> = [],
        computedFromColumns: Set<String> = [], triggers: [TriggerDescription] = [],
        subscriptions: [String] = [], estimatedRows: Int64, estimatedBytes: Int64, storesOutOfLine: Bool = false
    ) {
        self.name = name
        self.columns = columns
        self.primaryKey = primaryKey
        self.uniqueKeys = uniqueKeys
        self.foreignKeyColumns = foreignKeyColumns
        self.indexedColumns = indexedColumns
        self.uniqueColumns = uniqueColumns
        self.computedFromColumns = computedFromColumns
        self.triggers = triggers
        self.subscriptions = subscriptions
        self.estimatedRows = estimatedRows
        self.estimatedBytes = estimatedBytes
        self.storesOutOfLine = storesOutOfLine
    }

    /// The column with this name, compared as the engine compares names.
    package func column(_ name: String) -> ColumnDescription? {
        columns.first { $0.name == name } ?? columns.first { $0.name.lowercased() == name.lowercased() }
    }
}

/// What a database says of a column.
package struct ColumnDescription: Hashable, Sendable {
    /// What kind of values a column is declared for.
    package enum Kind: String, Sendable {
        case text, blob, integer, uuid, other
    }

    /// The name.
    package let name: String
    /// The type as declared.
    package let declaredType: String
    /// What kind it is.
    package let kind: Kind
    /// Whether it may hold no value.
    package let isNullable: Bool
    /// The most characters it takes, where the engine enforces that.
    package let maximumLength: Int?
    /// Whether the engine computes it.
    package let isGenerated: Bool
    /// Whether the engine takes nothing but JSON, so that a sealed value stands in it as a JSON string.
    package let holdsDocuments: Bool

    /// Makes a description.
    package init(
        name: String, declaredType: String, kind: Kind, isNullable: Bool, maximumLength: Int? = nil,
        isGenerated: Bool = false, holdsDocuments: Bool = false
    ) {
        self.holdsDocuments = holdsDocuments
        self.name = name
        self.declaredType = declaredType
        self.kind = kind
        self.isNullable = isNullable
        self.maximumLength = maximumLength
        self.isGenerated = isGenerated
    }
}

/// A trigger or rule that an update fires.
package struct TriggerDescription: Hashable, Sendable {
    /// Its name.
    package let name: String
    /// Its text, as the engine keeps it.
    package let definition: String

    /// Makes a description.
    package init(name: String, definition: String) {
        self.name = name
        self.definition = definition
    }
}
