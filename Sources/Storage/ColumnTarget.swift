/// An encrypted column, ready to be read and written.
package struct ColumnTarget: Hashable, Sendable {
    /// Where it stands in the database.
    package let path: ColumnPath
    /// The key columns, in the order of ``RowKey/components``.
    package let key: [String]
    /// SQL from the configuration that tells which rows hold sealed values; nil for all.
    package let predicate: String?
    /// What is written beside the value when a plaintext is sealed, by column.
    package let assignments: [Assignment]
    /// Whether each value is read back before commit, since a trigger, rule or domain could have changed it.
    package let readsBack: Bool

    /// A sibling column and the constant it gets.
    package struct Assignment: Hashable, Sendable {
        /// The column.
        package let column: String
        /// The constant.
        package let value: SQLValue

        /// Makes an assignment.
        package init(column: String, value: SQLValue) {
            self.column = column
            self.value = value
        }
    }

    /// Which rows are read to be rewritten.
    ///
    /// A flag column that adoption sets marks the rows that are sealed already: those not yet marked are the ones to adopt.
    package func scope(isAdopting: Bool) -> RowScope { isAdopting && !assignments.isEmpty ? .all : .matching }

    /// Makes a target.
    package init(
        path: ColumnPath, key: [String], predicate: String? = nil, assignments: [Assignment] = [],
        readsBack: Bool = false
    ) {
        self.path = path
        self.key = key
        self.predicate = predicate
        self.assignments = assignments
        self.readsBack = readsBack
    }
}
