package import PluginKit

/// What the fence of a column lets pass, asked here rather than by its trigger, which costs more than the rest of an update.
package struct AdmittedMarks: Sendable {
    private struct Mark {
        /// Nil lets everything pass.
        let form: ValueForm?
        let first: [UInt8]
        let firstAt: Int
        let second: [UInt8]
        let secondAt: Int
    }

    private let marks: [Mark]

    /// Reads marks from rows of `form, first_at, first, second_at, second`; a row without a form is passed over.
    ///
    /// - Throws: ``StorageError`` where a row does not have these columns.
    package init(_ rows: [SQLRow]) throws {
        marks = try rows.compactMap { row in
            guard let name = try row.optional(0, SQLRow.text) else { return nil }
            let form = ValueForm(rawValue: name)
            guard form != nil || name == "any" else { return nil }
            return Mark(
                form: form, first: try row.blob(2), firstAt: Int(clamping: try row.integer(1)),
                second: try row.optional(4, SQLRow.blob) ?? [],
                secondAt: Int(clamping: try row.optional(3, SQLRow.integer) ?? 1))
        }
    }

    /// Whether a fence with these marks would let bytes of a form pass.
    package func admit(_ bytes: ArraySlice<UInt8>, as form: ValueForm) -> Bool {
        marks.contains { mark in
            mark.form == nil
                || mark.form == form && Self.stand(mark.first, at: mark.firstAt, in: bytes)
                    && Self.stand(mark.second, at: mark.secondAt, in: bytes)
        }
    }

    /// Whether bytes stand at a position, counted from 1.
    private static func stand(_ mark: [UInt8], at position: Int, in bytes: ArraySlice<UInt8>) -> Bool {
        guard position >= 1, bytes.count >= position - 1 + mark.count else { return false }
        return bytes.dropFirst(position - 1).prefix(mark.count).elementsEqual(mark)
    }
}
