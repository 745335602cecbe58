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
        /// Until when the credentials hold that its provider uses now; nil where they do not end.
        let credentialsEndAt: Timestamp?
        let tested: String
        let month: CallCost
        let all: CallCost
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
        let found: ProviderKey
        do throws(ProviderError) {
            found = try await provider.describeKey(
                ProviderCall(deadline: .seconds(10), idempotencyKey: "byok-status-\(name)"))
            if !found.isUsable { problems.append("KEY NOT USABLE: \(name): \(found.summary)") }
        } catch {
            found = ProviderKey(id: "", isUsable: false, summary: error.message)
            problems.append(
                error.code == .providerUnavailable
                    ? "UNREACHABLE: \(name): \(error.message); what is held in memory goes on for \(Self.lifetime(name, call))"
                    : "ACCESS LOST: \(name): \(error.message); keys in memory were dropped")
        }
        if let endsAt = found.endsAt, endsAt.since(call.instance.context.now()) < Self.notice {
            problems.append(
                "ENDS SOON: \(name): its key's material ends on \(endsAt); its owner must import it again before")
        }
        let (month, all) = await Self.calls(of: name, call)
        holders.append(
            Holder(
                name: name, key: found.id, standing: found.summary, isUsable: found.isUsable, endsAt: found.endsAt,
                credentialsEndAt: found.credentialsEndAt, tested: tested, month: month, all: all))
    }

    /// What all who work on the database have asked of a provider in this month of UTC, and ever.
    private static func calls(of name: Name, _ call: Invocation) async -> (month: CallCost, all: CallCost) {
        await call.service.collectCalls()
        let held = await call.service.calls.held(of: name)
        let month = String(call.instance.context.now().description.prefix(7))
        // Without the database, at least what this process knows.
        let stored = try? await call.instance.context.control.read { session in
            (month: try session.calls(of: name, since: month), all: try session.calls(of: name))
        }
        let declaration = call.instance.configuration.providers.first { $0.name == name }
        let isAWS = declaration?.settings["key"]?.hasPrefix("arn:") == true
        return (
            CallCost((stored?.month ?? ProviderCalls()) + held, isAWS: isAWS),
            CallCost((stored?.all ?? ProviderCalls()) + held, isAWS: isAWS)
        )
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
                holder.endsAt?.description ?? "–",
                holder.credentialsEndAt.map { "renewed by \(Self.second($0))" } ?? "–", holder.tested,
                holder.month.text, holder.all.text,
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
                "providers",
                [
                    "provider", "key", "usable", "standing", "ends", "credentials", "last test", "this month", "in all",
                ], rows: keys),
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
            "credentials_end": holder.credentialsEndAt.map { .string($0.description) } ?? .null,
            "last_test": .string(holder.tested), "this_month": holder.month.value, "in_all": holder.all.value,
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

    /// A time to the second: `2026-03-01T03:00:00Z`.
    private static func second(_ time: Timestamp) -> String { String(time.description.prefix(19)) + "Z" }
}

/// Calls of a provider, and what they come to at a service that bills requests.
private struct CallCost {
    let calls: ProviderCalls
    let isAWS: Bool

    /// AWS asks three cents for ten thousand requests, which is so many millionths of a dollar for one.
    private static let costOfRequest: Int64 = 3
    /// A test of a key in KMS; what goes to STS is free.
    private static let requestsOfTest: Int64 = 13

    init(_ calls: ProviderCalls, isAWS: Bool) {
        self.calls = calls
        self.isAWS = isAWS
    }

    /// The requests that are billed, as far as none was sent again; whatever is wrapped is unwrapped again to be sure.
    private var requests: Int64 {
        calls.wraps * 2 + calls.unwraps + calls.looks + calls.tests * Self.requestsOfTest + calls.turns
    }

    private var cost: Int64 { requests * Self.costOfRequest }

    var text: String {
        guard isAWS else { return "\(calls.total) calls" }
        return "\(requests) requests, $" + String(format: "%.4f", Double(cost) / 1_000_000)
    }

    var value: FrameValue {
        [
            "calls": .integer(calls.total), "requests": isAWS ? .integer(requests) : .null,
            "cost_microdollars": isAWS ? .integer(cost) : .null,
        ]
    }
}
