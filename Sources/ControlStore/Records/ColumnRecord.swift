package import KeyModel
package import PluginKit
package import Storage

/// An encrypted column as it is recorded.
package struct ColumnRecord: Hashable, Sendable {
    /// Its number, for ever.
    package let id: Int64
    /// `table.column` as it was first declared; values are bound to it, whatever the column is called today.
    package let logicalName: String
    /// What the configuration says of it now, the key columns filled in.
    package let declaration: ColumnDeclaration
    /// Whether the configuration still declares it.
    package let isDeclared: Bool
    /// Whether a fence of ours guards it.
    package let isFenced: Bool

    /// Makes a record.
    package init(id: Int64, logicalName: String, declaration: ColumnDeclaration, isDeclared: Bool, isFenced: Bool) {
        self.id = id
        self.logicalName = logicalName
        self.declaration = declaration
        self.isDeclared = isDeclared
        self.isFenced = isFenced
    }

    /// What a value of the row with this key is bound to.
    package func context(namespace: String, key: RowKey) -> ValueContext {
        switch declaration.context {
        case .none, .caller: .none
        case .column: .column(namespace: namespace, name: logicalName)
        case .row: .row(namespace: namespace, name: logicalName, key: key.components.map(\.canonical))
        }
    }

    /// The column, ready to be read and written.
    package func target(readsBack: Bool) -> ColumnTarget {
        ColumnTarget(
            path: declaration.path, key: declaration.key, predicate: declaration.predicate,
            assignments: declaration.assignments, readsBack: readsBack
        )
    }
}

/// What one fence admits: values that begin as those of one key do.
package struct FenceMark: Hashable, Sendable {
    /// `text`, `blob`, or `any` to let everything pass.
    package let form: String
    /// The bytes from ``firstAt`` on, 1-based.
    package let first: Bytes
    /// Where they stand.
    package let firstAt: Int
    /// More bytes further on, for marks with a gap.
    package let second: Bytes?
    /// Where those stand.
    package let secondAt: Int?
    /// The key whose mark it is.
    package let key: KeyID?

    /// Makes a mark from what a core says its values begin with; nil where that has more than one gap.
    package init?(_ mark: [UInt8?], form: ValueForm, key: KeyID) {
        let runs = mark.enumerated().split { $0.element == nil }.map { run in
            (at: (run.first?.offset ?? 0) + 1, bytes: run.compactMap(\.element))
        }
        guard let first = runs.first, runs.count <= 2 else { return nil }
        self.init(
            form: form.rawValue, first: first.bytes, firstAt: first.at, second: runs.count > 1 ? runs[1].bytes : nil,
            secondAt: runs.count > 1 ? runs[1].at : nil, key: key
        )
    }

    /// Lets everything pass.
    package static let any = FenceMark(form: "any", first: [], firstAt: 1, second: nil, secondAt: nil, key: nil)

    private init(form: String, first: Bytes, firstAt: Int, second: Bytes?, secondAt: Int?, key: KeyID?) {
        self.form = form
        self.first = first
        self.firstAt = firstAt
        self.second = second
        self.secondAt = secondAt
        self.key = key
    }
}
