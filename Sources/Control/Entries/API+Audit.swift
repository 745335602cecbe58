internal import ControlStore
internal import Frames
internal import KeyModel
internal import Rotation

extension API {
    /// What looks back at the log: `audit.…`.
    static var audit: [Entry] {
        [
            Entry(
                "audit.list", "List what was done, newest first", example: "audit.list(20)",
                parameters: [
                    .optional("limit", .integer(1...5000), "at most so many entries", default: 100),
                    .optional("before", .integer(1...Int64.max), "only entries with a smaller number"),
                ],
                result: "a list of entries", role: .viewer, handler: list),
            Entry(
                "audit.verify", "Check the whole log: every hash, place and signature, and that nothing was cut off",
                details: "Good only where the log is whole; names the first entry that is not as it was written.",
                example: "audit.verify().isWhole", result: "entries, head, the broken entry and why", role: .viewer
            ) { call in
                guard let found = try await AuditLog(call.instance.context).verify(call.scope.interrupt) else {
                    throw ControlError(.callerInterrupted, "audit.verify was interrupted", hint: "Nothing was changed.")
                }
                let verdict =
                    found.why.map { "not whole: \($0)" }
                    ?? "whole: \(Readable.count(found.entries)) entries, head \(found.head)"
                let signers = found.signers.map {
                    "  \(Readable.count($0.entries)) signed by \($0.identity)\($0.isThisNode ? ", this node" : ", another node")"
                }
                return try Answer(encoding: found, [.lines([verdict] + signers)], isGood: found.isWhole)
            },
            Entry(
                "audit.export", "Hand out entries, oldest first, as they are hashed",
                details: """
                    With a file ("keyturn call audit.export --to-file FILE") all of them are written there, one JSON object a \
                    line; otherwise at most limit are handed back.
                    """,
                example: "audit.export{after = 0}",
                parameters: [
                    .optional("after", .integer(0...Int64.max), "only entries with a greater number", default: 0),
                    .optional("limit", .integer(1...5000), "at most so many, without a file", default: 1000),
                ],
                result: "a list of entries; with a file their number", role: .viewer, handler: export),
        ]
    }

    private static func list(_ call: Invocation) async throws -> Answer {
        let limit = Int(call.arguments.integer("limit") ?? 100)
        let before = call.arguments.integer("before") ?? .max
        let entries = try await call.instance.context.control.read { try $0.newestAudit(limit: limit, before: before) }
        let rows = entries.map { entry in
            [
                String(entry.number), entry.at, entry.user, entry.way, entry.kind.rawValue, entry.call,
                entry.kind == .outcome ? "of \(entry.intent ?? 0)" : entry.arguments, entry.result?.rawValue ?? "",
                entry.detail ?? "",
            ]
        }
        let headers = ["entry", "at", "who", "way", "kind", "call", "arguments", "result", "detail"]
        return Answer(.array(entries.map(\.value)), [.table(nil, headers, rows: rows)])
    }

    private static func export(_ call: Invocation) async throws -> Answer {
        var after = call.arguments.integer("after") ?? 0
        let control = call.instance.context.control
        guard let file = call.descriptors.optional else {
            let limit = Int(call.arguments.integer("limit") ?? 1000)
            let entries = try await control.read { [after] in try $0.audit(after: after, limit: limit) }
            return Answer(.array(entries.map(\.value)), [.lines(entries.map { $0.value.json() })])
        }
        try await call.checkOutput(file, for: "the audit export")
        var count: Int64 = 0
        while true {
            guard !call.scope.isCancelled else { throw ControlError(.callerInterrupted, "the export was interrupted") }
            let page = try await control.read { [after] in try $0.audit(after: after, limit: 1000) }
            guard let last = page.last else { break }
            let text = Array(page.map { $0.value.json() + "\n" }.joined().utf8)
            try await call.service.files.write(text, to: file, call.scope)
            (after, count) = (last.number, count + Int64(page.count))
        }
        return Answer(["entries": .integer(count)], [.lines(["\(Readable.count(count)) entries"])])
    }
}

extension AuditRecord {
    /// The entry for programs, each field as it is hashed, besides the hash and the signature.
    var value: FrameValue {
        var map: [String: FrameValue] = [:]
        for (name, field) in zip(Self.fieldNames, fields) {
            guard let field else { continue }
            let isNumber = ["number", "uid", "pid", "intent"].contains(name)
            map[name] = isNumber ? Int64(field).map { .integer($0) } ?? .string(field) : .string(field)
        }
        map["hash"] = .string(hash)
        map["signature"] = .string(signature)
        return .map(map)
    }
}
