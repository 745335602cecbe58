internal import ControlStore
internal import Frames
internal import KeyModel
internal import PluginKit
internal import Storage

extension ColumnDeclaration {
    /// Reads a `column "table.column" { … }`.
    init(_ declaration: Declaration, keyrings: [KeyringDeclaration], cores: [CoreDescriptor]) throws(ScriptingError) {
        let place = declaration.place
        guard case .string(let name) = declaration.name else {
            throw place.error("wants a table and a column in quotes, but \(declaration.name.found) stands there")
        }
        let path = try Self.path(name, place, "this names no column")
        let words: Set = ["keyring", "key", "core", "context", "where", "plaintext", "was", "set", "acknowledge"]
        let fields = try Fields(declaration, known: words)
        let keyring = try Self.keyring(fields, keyrings)
        var was: ColumnPath?
        if let text = try fields.text("was") { was = try Self.path(text, place, "\"was\" names no column") }
        guard was != path else { throw place.error("\"was\" is the column itself") }
        self.init(
            path: path, was: was, keyring: keyring.name, key: try Self.key(fields),
            context: try Self.context(fields, keyring, cores), predicate: try fields.text("where"),
            plaintext: try fields.choice("plaintext", of: PlaintextPolicy.self) ?? .refuse,
            assignments: try Self.assignments(fields), acknowledged: try Self.acknowledged(fields))
    }

    private static func path(_ text: String, _ place: Place, _ what: String) throws(ScriptingError) -> ColumnPath {
        do throws(StorageError) { return try ColumnPath(text) } catch { throw place.error(what, hint: error.hint) }
    }

    private static func keyring(
        _ fields: Fields, _ keyrings: [KeyringDeclaration]
    ) throws(ScriptingError) -> KeyringDeclaration {
        let name = try fields.required("keyring", example: keyrings.first?.name.description ?? "main")
        guard let keyring = keyrings.first(where: { $0.name.description == name }) else {
            throw fields.unknown("keyring", name, among: keyrings.map(\.name.description))
        }
        if let core = try fields.text("core"), core != keyring.core {
            throw fields.place.error(
                "\"core\" is \(quoted(core)), but the keyring \(quoted(name)) has the core \(quoted(keyring.core))",
                hint: "Leave it out here; the keyring decides.")
        }
        return keyring
    }

    private static func key(_ fields: Fields) throws(ScriptingError) -> [String] {
        guard let key = try fields.texts("key", orOne: true) else { return [] }
        guard !key.isEmpty else {
            throw fields.place.error("\"key\" is empty", hint: "Leave it out to take the table's primary key.")
        }
        return key
    }

    /// How values are bound: as asked for, else to their column where the core can, else to nothing.
    private static func context(
        _ fields: Fields, _ keyring: KeyringDeclaration, _ cores: [CoreDescriptor]
    ) throws(ScriptingError) -> ValueContext.Scheme {
        let bindings = cores.first { $0.name == keyring.core }?.bindings ?? []
        guard let word = try fields.text("context") else { return bindings.contains(.column) ? .column : .none }
        let schemes: [String: ValueContext.Scheme] = ["none": .none, "column": .column, "row": .row]
        guard let scheme = schemes[word] else { throw fields.unknown("context", word, among: Array(schemes.keys)) }
        guard bindings.contains(scheme) else {
            let possible = schemes.filter { bindings.contains($0.value) }.keys.sorted().joined(separator: ", ")
            throw fields.place.error(
                "\"context\" is \(quoted(word)), which the core \(quoted(keyring.core)) cannot express",
                hint: "It can express: \(possible).")
        }
        return scheme
    }

    private static func acknowledged(_ fields: Fields) throws(ScriptingError) -> Set<Acknowledgement> {
        var acknowledged: Set<Acknowledgement> = []
        for word in try fields.texts("acknowledge", orOne: true) ?? [] {
            guard let known = Acknowledgement(rawValue: word) else {
                throw fields.unknown("acknowledge", word, among: Acknowledgement.allCases.map(\.rawValue))
            }
            acknowledged.insert(known)
        }
        return acknowledged
    }

    private static func assignments(_ fields: Fields) throws(ScriptingError) -> [ColumnTarget.Assignment] {
        guard let value = fields["set"] else { return [] }
        guard case .map(let entries) = value, value.typeName == nil else {
            throw fields.wrong("set", "a table of columns and constants", value)
        }
        var assignments: [ColumnTarget.Assignment] = []
        for (column, constant) in entries.sorted(by: { $0.key < $1.key }) {
            guard !column.isEmpty, !column.utf8.contains(0) else {
                throw fields.place.error("\"set\" holds a column without a name")
            }
            guard let constant = SQLValue(constant: constant) else {
                throw fields.place.error(
                    "\"set\" wants a text, a number or a truth for \(quoted(column)), "
                        + "but \(constant.found) stands there")
            }
            assignments.append(ColumnTarget.Assignment(column: column, value: constant))
        }
        return assignments
    }
}

extension SQLValue {
    /// A constant of a configuration; nil for a list, a table or anything else that is no single value.
    fileprivate init?(constant: FrameValue) {
        switch constant {
        case .bool(let truth): self = .integer(truth ? 1 : 0)
        case .integer(let number): self = .integer(number)
        case .double(let number) where number.isFinite: self = .real(number)
        case .string(let text): self = .text(text)
        default: return nil
        }
    }
}
