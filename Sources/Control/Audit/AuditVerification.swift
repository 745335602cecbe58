internal import ControlStore
internal import Foundation
internal import Rotation

/// What a check of the audit log found.
package struct AuditVerification: Hashable, Codable, Sendable {
    /// Somebody who signed entries.
    package struct Signer: Hashable, Codable, Sendable {
        /// The public key.
        package let identity: String
        /// How many entries.
        package var entries: Int64
        /// Whether it is this node.
        package let isThisNode: Bool
    }

    /// Whether everything is as it was written.
    package let isWhole: Bool
    /// Entries that were read.
    package let entries: Int64
    /// The newest entry's hash.
    package let head: String
    /// The first entry that is not as it was written; nil where there is none.
    package let broken: Int64?
    /// What is wrong with it, in words.
    package let why: String?
    /// Who signed.
    package let signers: [Signer]
}

extension AuditLog {
    /// Reads the whole log and holds every entry against its hash, its place, its signature and what this node has seen.
    ///
    /// - Parameter interrupt: Raised to stop.
    /// - Returns: What was found; nil when it was interrupted.
    /// - Throws: ``StorageError``.
    func verify(_ interrupt: Interrupt) async throws -> AuditVerification? {
        var walk = AuditWalk(signer: context.signer, seen: await context.memory.entry.audit)
        var size = 1000
        while walk.broken == nil {
            if interrupt.isSet { return nil }
            do {
                let page = try await context.control.read { [last = walk.last.number, size] in
                    try $0.audit(after: last, limit: size)
                }
                guard !page.isEmpty else { break }
                for entry in page where walk.broken == nil { walk.take(entry) }
            } catch let error as ControlStoreError where error.code == .storeRecordDamaged {
                // One by one, to find the one that cannot be read.
                if size == 1 { walk.fail(at: walk.last.number + 1, "entry \(walk.last.number + 1) cannot be read") }
                size = 1
            }
        }
        let head = try await context.control.read { try $0.auditHead() }
        return walk.finish(head: head)
    }
}

/// Goes through the log entry by entry; pure but for the check of signatures.
struct AuditWalk {
    private(set) var last = AuditHead.empty
    private(set) var broken: Int64?
    private var why: String?
    private var signers: [String: Int64] = [:]
    private let signer: any ProofSigner
    private let seen: AuditHead?

    init(signer: any ProofSigner, seen: AuditHead?) {
        self.signer = signer
        self.seen = seen
    }

    mutating func fail(at number: Int64, _ why: String) {
        guard broken == nil else { return }
        broken = number
        self.why = why
    }

    mutating func take(_ entry: AuditRecord) {
        let number = last.number + 1
        guard entry.number == number else { return fail(at: number, "entry \(number) is missing") }
        let digest = entry.digest(after: last.hash)
        let hash = digest.map { byte in String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }.joined()
        guard hash == entry.hash else { return fail(at: number, "entry \(number) is not what its hash says") }
        guard signer.isSignature(entry.signature, of: digest, by: entry.signer) else {
            return fail(at: number, "entry \(number) is not signed by the key that it names")
        }
        if let seen, seen.number == number, seen.hash != hash {
            return fail(at: number, "entry \(number) is not the one that this node has seen")
        }
        signers[entry.signer, default: 0] += 1
        last = AuditHead(number: number, hash: hash)
    }

    mutating func finish(head: AuditHead) -> AuditVerification {
        if let seen, last.number < seen.number {
            fail(at: last.number + 1, "the log ends at entry \(last.number), this node has seen entry \(seen.number)")
        } else if head != last {
            fail(at: head.number, "the log's head says entry \(head.number), the last one is entry \(last.number)")
        }
        return AuditVerification(
            isWhole: broken == nil, entries: last.number, head: last.hash, broken: broken, why: why,
            signers: signers.sorted { $0.key < $1.key }.map {
                .init(identity: $0.key, entries: $0.value, isThisNode: $0.key == signer.identity)
            })
    }
}
