internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import Rotation
internal import Scheduling

/// Each keyring's age against what is allowed, its last rotation with the proof of it, and when the next is due.
struct ComplianceReport {
    /// One keyring, for programs.
    struct Row: Encodable {
        let keyring: String
        let core: String
        let activeKey: String?
        let madeAt: String?
        let ageDays: Int?
        let maxAge: String?
        /// `within`, `due`, `overdue`, `no limit`, or `no key`.
        let standing: String
        let lastRotation: Int64?
        let lastRotationAt: String?
        let proof: String?
        let proofSigner: String?
        let nextDue: String?
        let schedules: [String]
        /// The last restore drill of the instance's backups: `passed`, `failed` or `never`.
        let drill: String
        let drillAt: String?
    }

    let rows: [Row]

    init(_ keyrings: [KeyringRecord], runs: [RunRecord], drill: DrillRecord?, board: ScheduleBoard) {
        rows = keyrings.filter(\.isDeclared).map { Self.row($0, runs, drill, board) }
    }

    private static func row(
        _ record: KeyringRecord, _ runs: [RunRecord], _ drill: DrillRecord?, _ board: ScheduleBoard
    ) -> Row {
        let ring = record.keyring
        let entries = board.entries.filter { $0.schedule?.keyring == ring.name && $0.schedule?.action == .rotate }
        let limits = [ring.policy.maxAge].compactMap(\.self) + entries.compactMap { $0.schedule?.rules.maxKeyAge }
        let most = limits.min()
        let made = ring.active.map { $0.activatedAt ?? $0.createdAt }
        let age = made.map { board.now.since($0) }
        let last = runs.filter { $0.keyring == ring.name && $0.kind == .rotate && $0.state == .done }.max {
            $0.id < $1.id
        }
        let signed = last.flatMap { try? SignedProof.decode($0.proof) }  // a proof that cannot be read is none
        let next = entries.compactMap(\.next).min()
        let standing: String
        switch (age, most) {
        case (nil, _): standing = "no key"
        case (_, nil): standing = "no limit"
        case (let age?, let most?) where age > most: standing = "overdue"
        case (let age?, let most?):
            standing = next.map { $0.since(made ?? $0) > most } ?? (age > most * 0.9) ? "due" : "within"
        }
        return Row(
            keyring: ring.name.description, core: ring.core, activeKey: ring.active?.id.description,
            madeAt: made?.description, ageDays: age.map { Int($0.components.seconds / 86_400) },
            maxAge: most?.durationText, standing: standing, lastRotation: last?.id,
            lastRotationAt: last?.finishedAt?.description, proof: signed.map { _ in "signed" },
            proofSigner: signed?.signer, nextDue: next?.description, schedules: entries.map(\.name.description),
            drill: drill.map { $0.isPassed ? "passed" : "failed" } ?? "never", drillAt: drill?.at.description)
    }

    /// For people and programs; not good where a key is overdue or missing.
    func answer() throws -> Answer {
        let headers = [
            "keyring", "core", "active key", "made", "max age", "standing", "last rotation", "proof", "next due",
            "drill",
        ]
        let table = Answer.Block.table(
            nil, headers, numbers: ["age, days"],
            rows: rows.map { row in
                [
                    row.keyring, row.core, row.activeKey ?? "none", row.madeAt ?? "-", row.maxAge ?? "-", row.standing,
                    row.lastRotation.map { "run \($0), \(row.lastRotationAt ?? "")" } ?? "never", row.proof ?? "none",
                    row.nextDue ?? "-", [row.drill, row.drillAt].compactMap(\.self).joined(separator: " "),
                    row.ageDays.map(String.init) ?? "-",
                ]
            })
        return try Answer(
            encoding: rows, [table], isGood: !rows.contains { $0.standing == "overdue" || $0.standing == "no key" })
    }
}
