internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Storage

extension API {
    /// Declared columns and single values: `columns.…`.
    static var columns: [Entry] {
        let row = Parameter.optional(
            "key", .texts, "the key of the row, once for each key column; needed where values are bound to rows")
        let base64 = Parameter.optional("base64", .truth, "the value comes and goes in base64")
        return [
            Entry(
                "columns.list", "List the declared columns", example: "columns.list()", result: "a list of columns",
                role: .viewer, takesConfiguration: true, handler: list),
            Entry(
                "columns.discover", "Look for ciphertext in columns that nobody declared",
                details: """
                    Every text and binary column is looked through, whatever it is called. Good only where nothing was found; \
                    what is found under no key of ours keeps keys from being destroyed as well.
                    """,
                example: "columns.discover().findings",
                parameters: [.optional("keyring", .keyring, "whose keys are tried; default: all")],
                result: "findings with counts and a suggested declaration, and the tables that were not read",
                errors: ["keyNotUnwrapped"], role: .viewer, takesConfiguration: true, handler: discover),
            Entry(
                "columns.seal", "Seal one value, for an application",
                example: "columns.seal(\"data_source.password\", secret, \"42\")",
                parameters: [
                    .required("column", .column, "the column"),
                    .required("value", .bytes, "the value", isSensitive: true), row, base64,
                ],
                result: "value and encoding", errors: ["keyNotActive", "keySealsExhausted", "callerRequestInvalid"],
                role: .operator
            ) { call in
                let sealed = try await call.engine().seal(
                    try call.arguments.value(), column: try call.arguments.column(), row: call.arguments.texts("key"))
                return call.arguments.answer(sealed.bytes ?? [])
            },
            Entry(
                "columns.open", "Open one value, or the one that stands in a row",
                example: "columns.open{column = \"data_source.password\", key = \"42\", stored = true}.value",
                parameters: [
                    .required("column", .column, "the column"),
                    .optional(
                        "value", .bytes, "the sealed value; default: the one that stands in the row", isSensitive: true),
                    row, base64,
                    .optional("stored", .truth, "open the value that stands in the row"),
                ],
                result: "value and encoding; nothing where the row has no value",
                errors: ["callerNotFound", "dataNotAuthentic", "dataMalformed"], role: .operator, effect: .discloses,
                handler: open),
        ]
    }

    private static func list(_ call: Invocation) async throws -> Answer {
        let columns = try await call.instance.context.control.read { try $0.columns() }
        let value = columns.map { column -> FrameValue in
            let declaration = column.declaration
            var map: [String: FrameValue] = [
                "column": .string(declaration.path.description), "keyring": .string(declaration.keyring.description),
                "context": .string("\(declaration.context)"), "key": .array(declaration.key.map { .string($0) }),
                "plaintext": .string(declaration.plaintext.rawValue), "isDeclared": .bool(column.isDeclared),
                "isFenced": .bool(column.isFenced),
            ]
            if let predicate = declaration.predicate { map["where"] = .string(predicate) }
            let acknowledged = declaration.acknowledged.map(\.rawValue).sorted()
            if !acknowledged.isEmpty { map["acknowledge"] = .array(acknowledged.map { .string($0) }) }
            return .map(map)
        }
        let rows = columns.map { column in
            [
                column.declaration.path.description, column.declaration.keyring.description,
                "\(column.declaration.context)", column.declaration.key.joined(separator: ", "),
                column.declaration.predicate ?? "", column.isFenced ? "yes" : "no", column.isDeclared ? "yes" : "no",
            ]
        }
        let headers = ["column", "keyring", "context", "key", "where", "fenced", "declared"]
        return Answer(.array(value), [.table(nil, headers, rows: rows)])
    }

    private static func discover(_ call: Invocation) async throws -> Answer {
        let name = try call.arguments.text("keyring").map { try Name($0) }
        let engine = try await call.engine()
        guard let discovery = try await engine.discover(keysOf: name, interrupt: call.scope.interrupt) else {
            throw ControlError(.callerInterrupted, "the search was interrupted", hint: "Nothing was changed.")
        }
        let records = try await call.instance.context.control.read { try $0.keyrings() }
        return try Discovered(discovery, records).answer()
    }

    private static func open(_ call: Invocation) async throws -> Answer {
        let (arguments, engine) = (call.arguments, try await call.engine())
        let (column, row) = (try arguments.column(), arguments.texts("key"))
        if arguments["value"] != nil, !arguments.truth("stored") {
            return arguments.answer(try await engine.open(try arguments.value(), column: column, row: row).plaintext)
        }
        guard let opened = try await engine.openStored(column: column, row: row) else {
            return Answer(.map([:]), [.lines(["null"])])
        }
        return arguments.answer(opened.plaintext)
    }
}

extension Arguments {
    fileprivate func column() throws -> ColumnPath { try ColumnPath(try required("column")) }

    /// The bytes of `value`.
    fileprivate func value() throws(ControlError) -> Bytes {
        if case .binary(let bytes)? = self["value"] { return bytes }
        let text = try required("value")
        guard truth("base64") else { return Bytes(text.utf8) }
        guard let decoded = Data(base64Encoded: text) else {
            throw ControlError(.callerUsage, "\"value\" is not base64")
        }
        return Bytes(decoded)
    }

    /// Bytes as a caller gets them: as text where they are valid UTF-8, in base64 otherwise or on request.
    fileprivate func answer(_ bytes: Bytes) -> Answer {
        let text = truth("base64") ? nil : String(validating: bytes, as: UTF8.self)
        let shown = text ?? Data(bytes).base64EncodedString()
        return Answer(
            ["value": .string(shown), "encoding": text == nil ? "base64" : "utf-8"], [.lines([shown])])
    }
}
