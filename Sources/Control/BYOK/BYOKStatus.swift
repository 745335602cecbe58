internal import ControlStore
internal import Foundation
internal import Frames
internal import KeyModel
internal import PluginKit
internal import Rotation

/// What lies under which key, what lay elsewhere, and whether the keys are there.
struct BYOKStatus {
    private struct Holder {
        let name: Name
        let key: String
        let standing: String
        let isUsable: Bool
        /// When its material ends by itself; nil where it does not, or its provider does not say.
        let endsAt: Timestamp?
        let tested: String
        let calls: Int
        /// Millionths of a dollar.
        let cost: Int
    }

    private struct Ring {
        let name: Name
        let declared: Name
        /// How many versions have a wrap under a provider's key.
        let wraps: [String: Int]
        /// Versions that once lay elsewhere and are not destroyed.
        let exposed: [KeyID]
        /// Backups that hold such wraps.
        let backups: [Int64]
    }

    private var holders: [Holder] = []
    private var rings: [Ring] = []
    private var problems: [String] = []
    private var externalID: String?
    private var allowsReturn = false

    /// An end that is nearer than this is a problem; whoever imports material anew needs some weeks.
    private static let notice = Duration.seconds(30 * 86_400)

    /// AWS asks three cents for ten thousand requests.
    private static let costOfRequest = 3

    static func look(_ call: Invocation) async throws -> BYOKStatus {
        var status = BYOKStatus()
        let (begun, records, moved) = try await call.instance.context.control.read { session in
            (try session.byok(), try session.byokProviders(), try session.movedKeyrings())
        }
        status.externalID = begun?.externalID
        status.allowsReturn = begun?.allowsReturn ?? false
        for record in records { await status.add(record, call) }
        try await status.addRings(call, saved: Set(records.filter { $0.savedAt != nil }.map(\.provider)), moved)
        return status
    }

    private mutating func add(_ record: BYOKProviderRecord, _ call: Invocation) async {
        let name = record.provider
        let tested = "\(record.testedAt), \(record.isPassed ? "passed" : "failed")"
        guard let provider = call.instance.context.providers[name] else {
            if record.savedAt != nil {
                problems.append("provider \"\(name)\" is saved, and keyturn.lua no longer declares it")
            }
            return
        }
        let (key, standing, isUsable, endsAt): (String, String, Bool, Timestamp?)
        do throws(ProviderError) {
            let found = try await provider.describeKey(
                ProviderCall(deadline: .seconds(10), idempotencyKey: "byok-status-\(name)"))
            (key, standing, isUsable, endsAt) = (found.id, found.summary, found.isUsable, found.endsAt)
            if !isUsable { problems.append("KEY NOT USABLE: \(name): \(found.summary)") }
        } catch {
            (key, standing, isUsable, endsAt) = ("", error.message, false, nil)
            problems.append(
                error.code == .providerUnavailable
                    ? "UNREACHABLE: \(name): \(error.message); what is held in memory goes on for \(Self.lifetime(name, call))"
                    : "ACCESS LOST: \(name): \(error.message); keys in memory were dropped")
        }
        if let endsAt, endsAt.since(call.instance.context.now()) < Self.notice {
            problems.append(
                "ENDS SOON: \(name): its key's material ends on \(endsAt); its owner must import it again before")
        }
        let counts = await call.service.source.providerCalls(of: name)
        // Wrapping unwraps again to be sure, and a test is some fifteen requests.
        let requests = counts.reduce(0) { sum, entry in
            sum + entry.value * (["wrap": 2, "test": 15][entry.key] ?? (entry.key == "info" ? 0 : 1))
        }
        holders.append(
            Holder(
                name: name, key: key, standing: standing, isUsable: isUsable, endsAt: endsAt, tested: tested,
                calls: requests,
                cost: requests * Self.costOfRequest))
    }

    private static func lifetime(_ name: Name, _ call: Invocation) -> String {
        call.instance.configuration.providers.first { $0.name == name }?.settings["cache_ttl"] ?? "1h"
    }

    private mutating func addRings(_ call: Invocation, saved: Set<Name>, _ moved: [Name: Name]) async throws {
        let declared = call.instance.configuration.keyrings
        rings = try await call.instance.context.control.read { session in
            let (exposures, backups) = (try session.exposures(), try session.backups())
            return try session.keyrings().map { record in
                let name = record.keyring.name
                let versions = record.keyring.versions.filter { $0.state != .destroyed }
                var wraps: [String: Int] = [:]
                for wrap in try versions.flatMap({ try session.wraps(of: $0.id) }) {
                    wraps["\(wrap.provider): \(wrap.wrapped.providerKeyID)", default: 0] += 1
                }
                let holder = declared.first { $0.name == name }?.provider ?? record.provider
                let mine = exposures.filter { $0.keyring == name && $0.provider != holder }
                let exposed = versions.map(\.id).filter { id in mine.contains { $0.key == id } }
                let holding = backups.filter { backup in
                    backup.wrappers.contains { wrapper in
                        mine.contains { $0.provider.description == wrapper.provider && $0.providerKeyID == wrapper.key }
                    }
                }
                return Ring(
                    name: name, declared: holder, wraps: wraps,
                    exposed: exposed, backups: holding.map(\.id))
            }
        }
        for ring in rings where saved.contains(ring.declared) && moved[ring.name] != ring.declared {
            problems.append("keyring \"\(ring.name)\" is not moved yet: keyturn byok continue \(ring.declared)")
        }
    }

    func answer() -> Answer {
        let value: FrameValue = [
            "external_id": externalID.map { .string($0) } ?? .null, "allow_return": .bool(allowsReturn),
            "providers": .array(holders.map(Self.value)), "keyrings": .array(rings.map(Self.value)),
            "problems": .array(problems.map { .string($0) }),
        ]
        return Answer(value, blocks, isGood: problems.isEmpty)
    }

    private var blocks: [Answer.Block] {
        let keys = holders.map { holder in
            [
                holder.name.description, holder.key, holder.isUsable ? "yes" : "NO", holder.standing,
                holder.endsAt?.description ?? "–", holder.tested,
                String(holder.calls), Self.dollars(holder.cost),
            ]
        }
        let wraps = rings.flatMap { ring in
            ring.wraps.sorted { $0.key < $1.key }.map { [ring.name.description, $0.key, String($0.value)] }
        }
        let exposed = rings.filter { !$0.exposed.isEmpty }.map { ring in
            [
                ring.name.description, ring.exposed.map(\.description).joined(separator: " "),
                ring.backups.isEmpty ? "none known" : ring.backups.map(String.init).joined(separator: " "),
            ]
        }
        var blocks: [Answer.Block] = [
            .table(
                "providers", ["provider", "key", "usable", "standing", "ends", "last test", "requests", "cost"],
                rows: keys),
            .table("keys", ["keyring", "under", "versions"], rows: wraps),
        ]
        if !exposed.isEmpty {
            blocks.append(
                .table("exposed through older wraps, until destroyed", ["keyring", "keys", "backups"], rows: exposed))
        }
        blocks.append(.lines(problems.isEmpty ? ["nothing needs anyone"] : problems))
        return blocks
    }

    private static func value(_ holder: Holder) -> FrameValue {
        [
            "provider": .string(holder.name.description), "key": .string(holder.key), "usable": .bool(holder.isUsable),
            "standing": .string(holder.standing), "ends": holder.endsAt.map { .string($0.description) } ?? .null,
            "last_test": .string(holder.tested),
            "requests": .integer(Int64(holder.calls)), "cost_microdollars": .integer(Int64(holder.cost)),
        ]
    }

    private static func value(_ ring: Ring) -> FrameValue {
        [
            "keyring": .string(ring.name.description), "declared": .string(ring.declared.description),
            "wraps": .map(ring.wraps.mapValues { .integer(Int64($0)) }),
            "exposed": .array(ring.exposed.map { .string($0.description) }),
            "backups": .array(ring.backups.map { .integer($0) }),
        ]
    }

    private static func dollars(_ millionths: Int) -> String {
        "$" + String(format: "%.4f", Double(millionths) / 1_000_000)
    }
}
