internal import COpenSSL
package import KeyModel

/// How far the audit log has come: the number and the hash of its newest entry.
package struct AuditHead: Hashable, Codable, Sendable {
    /// The newest entry's number, from 1; 0 for an empty log.
    package let number: Int64
    /// Its hash, in hexadecimal.
    package let hash: String

    /// The head of an empty log.
    package static let empty = AuditHead(number: 0, hash: String(repeating: "0", count: 64))

    /// Makes a head.
    package init(number: Int64, hash: String) {
        self.number = number
        self.hash = hash
    }
}

/// A call that was let through while the audit log could not be written.
package struct PendingAudit: Hashable, Codable, Sendable {
    /// When.
    package let at: String
    /// Who, as the kernel said.
    package let uid: UInt32
    /// The user's name.
    package let user: String
    /// The caller's process.
    package let pid: Int32
    /// The way the call came.
    package let way: String
    /// The entry of the API.
    package let call: String
    /// The arguments, as JSON.
    package let arguments: String
    /// What it came to.
    package let result: String

    /// Notes a call.
    package init(
        at: String, uid: UInt32, user: String, pid: Int32, way: String, call: String, arguments: String, result: String
    ) {
        self.at = at
        self.uid = uid
        self.user = user
        self.pid = pid
        self.way = way
        self.call = call
        self.arguments = arguments
        self.result = result
    }
}

/// One entry of the audit log; see `docs/formats/audit.md`.
package struct AuditRecord: Hashable, Sendable {
    /// What an entry says.
    package enum Kind: String, CaseIterable, Sendable {
        /// A call is about to change something.
        case intent
        /// What a call came to.
        case outcome
        /// A call was not let through.
        case refusal
        /// A call that was let through while the log could not be written.
        case late
    }

    /// What a call came to.
    package enum Result: String, CaseIterable, Sendable {
        /// It was carried out.
        case done
        /// It failed; the detail says why.
        case failed
        /// It was not let through or not confirmed; nothing was changed.
        case refused
        /// The process ended before it could say, or what was done outside was cut off.
        case unknown
    }

    /// Its number, from 1, without gaps.
    package var number: Int64 = 0
    /// What it says.
    package let kind: Kind
    /// When.
    package let at: String
    /// The node that wrote it.
    package let node: String
    /// The process that wrote it, such that another one with the same number is told apart.
    package let process: String
    /// Who called, as the kernel said; nil for the instance itself.
    package let uid: Int64?
    /// The caller's name.
    package let user: String
    /// The caller's process; nil for the instance itself.
    package let pid: Int64?
    /// The way the call came.
    package let way: String
    /// The entry of the API.
    package let call: String
    /// The arguments as JSON, sensitive ones left out.
    package let arguments: String
    /// For an outcome: the number of its intent.
    package let intent: Int64?
    /// For an outcome and a refusal.
    package let result: Result?
    /// What else there is to say, in words: a plan's hash, an error's code.
    package let detail: String?
    /// SHA-256 over the hash of the entry before and this one's own bytes, in hexadecimal.
    package var hash = ""
    /// The public key of the node that wrote it.
    package let signer: String
    /// The node's signature over the hash's 32 bytes, in base64.
    package var signature = ""

    /// Makes an entry that has no place in the log yet.
    package init(
        kind: Kind, at: String, node: String, process: String, uid: Int64?, user: String, pid: Int64?, way: String,
        call: String, arguments: String, intent: Int64? = nil, result: Result? = nil, detail: String? = nil,
        signer: String
    ) {
        self.kind = kind
        self.at = at
        self.node = node
        self.process = process
        self.uid = uid
        self.user = user
        self.pid = pid
        self.way = way
        self.call = call
        self.arguments = arguments
        self.intent = intent
        self.result = result
        self.detail = detail
        self.signer = signer
    }

    /// The names of the fields that are hashed, in their order.
    package static let fieldNames = [
        "number", "kind", "at", "node", "process", "uid", "user", "pid", "way", "call", "arguments", "intent", "result",
        "detail", "signer",
    ]

    /// The texts of the fields that are hashed, in the order of ``fieldNames``.
    package var fields: [String?] {
        [
            String(number), kind.rawValue, at, node, process, uid.map { String($0) }, user, pid.map { String($0) }, way,
            call, arguments, intent.map { String($0) }, result?.rawValue, detail, signer,
        ]
    }

    /// The hash that the entry must have after the one with the hash `previous`.
    ///
    /// - Returns: 32 bytes.
    package func digest(after previous: String) -> [UInt8] {
        var bytes = Self.bytes(hex: previous)
        func append(_ number: UInt32) {
            for shift in [24, 16, 8, 0] { bytes.append(UInt8(number >> UInt32(shift) & 255)) }
        }
        append(UInt32(fields.count))
        for field in fields {
            guard let field else {
                append(.max)
                continue
            }
            append(UInt32(clamping: field.utf8.count))
            bytes += Array(field.utf8)
        }
        var digest = [UInt8](repeating: 0, count: 32)
        SHA256(bytes, bytes.count, &digest)
        return digest
    }

    /// The bytes that hexadecimal digits stand for; what is no digit counts as nothing.
    private static func bytes(hex: String) -> [UInt8] {
        let digits = hex.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
        return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}

/// What hooks and schedules of a configuration may call.
package struct GrantRecord: Hashable, Sendable {
    /// The configuration.
    package let configurationHash: String
    /// The entries of the API, sorted.
    package let calls: [String]
    /// Who granted it.
    package let actor: String
    /// When.
    package let at: Timestamp

    /// Makes a record.
    package init(configurationHash: String, calls: [String], actor: String, at: Timestamp) {
        self.configurationHash = configurationHash
        self.calls = calls
        self.actor = actor
        self.at = at
    }
}
