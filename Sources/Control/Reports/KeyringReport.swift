internal import ControlStore
internal import KeyModel

/// The keyrings for people and programs.
struct KeyringList {
    let records: [KeyringRecord]

    func answer() throws -> Answer {
        let rows = records.map { record in
            [
                record.keyring.name.description, record.keyring.core, record.provider.description,
                record.keyring.active?.id.description ?? "none", String(record.keyring.versions.count),
                record.keyring.policy.maxAge?.durationText ?? "-", record.keyring.policy.backup.rawValue,
            ]
        }
        let headers = ["keyring", "core", "provider", "active key", "versions", "max age", "backup"]
        return try Answer(
            encoding: records.map { KeyringDetail($0, moves: [], seals: [:]) }, [.table(nil, headers, rows: rows)])
    }
}

/// One keyring for people and programs: its versions, and who moved them when and why.
struct KeyringHistory {
    let record: KeyringRecord
    let moves: [KeyMove]
    let seals: [KeyID: Int64]

    func answer() throws -> Answer {
        let versions = record.keyring.versions.map { version in
            [
                version.id.description, version.state.rawValue, version.createdAt.description,
                String(seals[version.id] ?? 0),
            ]
        }
        let history = moves.map { move in
            [
                move.at.description, move.key.description, move.from?.rawValue ?? "", move.to.rawValue, move.actor,
                move.reason,
            ]
        }
        let consumers = record.consumers.map(\.description).joined(separator: ", ")
        return try Answer(
            encoding: KeyringDetail(record, moves: moves, seals: seals),
            [
                .fields([
                    "keyring": record.keyring.name.description, "core": record.keyring.core,
                    "provider": record.provider.description, "consumers": consumers.isEmpty ? "none" : consumers,
                ]),
                .table("versions", ["key", "state", "made", "seals"], rows: versions),
                .table("moves", ["at", "key", "from", "to", "by", "why"], rows: history),
            ])
    }
}

/// A keyring for programs.
struct KeyringDetail: Encodable {
    struct Version: Encodable {
        let id: String
        let state: String
        let createdAt: String
        let activatedAt: String?
        let deactivatedAt: String?
        let retiredAt: String?
        let sealsReserved: Int64?
    }

    struct Move: Encodable {
        let key: String
        let from: String?
        let to: String
        let at: String
        let actor: String
        let reason: String
    }

    let name: String
    let core: String
    let provider: String
    let consumers: [String]
    let maxAge: String?
    let maxSeals: UInt64?
    let keep: String?
    let backup: String
    let versions: [Version]
    let moves: [Move]

    init(_ record: KeyringRecord, moves: [KeyMove], seals: [KeyID: Int64]) {
        name = record.keyring.name.description
        core = record.keyring.core
        provider = record.provider.description
        consumers = record.consumers.map(\.description)
        maxAge = record.keyring.policy.maxAge?.durationText
        maxSeals = record.keyring.policy.maxSeals
        keep = record.keyring.policy.keep?.durationText
        backup = record.keyring.policy.backup.rawValue
        versions = record.keyring.versions.map { version in
            Version(
                id: version.id.description, state: version.state.rawValue, createdAt: version.createdAt.description,
                activatedAt: version.activatedAt?.description, deactivatedAt: version.deactivatedAt?.description,
                retiredAt: version.retiredAt?.description, sealsReserved: seals[version.id]
            )
        }
        self.moves = moves.map { move in
            Move(
                key: move.key.description, from: move.from?.rawValue, to: move.to.rawValue, at: move.at.description,
                actor: move.actor, reason: move.reason
            )
        }
    }
}
