internal import AWSNames
internal import Foundation
internal import KeyModel

/// What speaks against a key, and what is worth a warning.
struct KeyFindings {
    /// Why the key cannot be used; empty where it can.
    private(set) var refusals: [String] = []
    /// What its owner should know.
    private(set) var warnings: [String] = []
    /// When its imported material ends; nil where it does not.
    private(set) var endsAt: Timestamp?

    /// Judges a key by what its service says of it.
    init(_ metadata: KeyMetadata, _ key: KeyARN) {
        if let spec = metadata.spec, spec != "SYMMETRIC_DEFAULT" {
            refusals.append("its kind is \(quoted(spec)), not SYMMETRIC_DEFAULT")
        }
        if let usage = metadata.usage, usage != "ENCRYPT_DECRYPT" {
            refusals.append("it is made for \(quoted(usage)), not ENCRYPT_DECRYPT")
        }
        if let algorithms = metadata.algorithms, !algorithms.contains("SYMMETRIC_DEFAULT") {
            refusals.append("it does not offer SYMMETRIC_DEFAULT")
        }
        judgeState(metadata)
        if metadata.manager == "AWS" {
            refusals.append("AWS manages it (aws/…), so nobody can be given its use")
        }
        if let account = metadata.account, account != key.account {
            refusals.append("its account is \(quoted(account)), not \(key.account)")
        }
        switch metadata.origin {
        case "EXTERNAL":
            endsAt = metadata.validTo.flatMap(Self.time)
            warnings.append(
                "its material was imported"
                    + (metadata.validTo.map { " and ends on \(Self.day($0))" } ?? " and can be taken away"))
        case "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE":
            warnings.append("it lies in a key store of its own: slower, fewer calls, and not always there")
        default: break
        }
        if let regions = metadata.regions, regions.kind == "REPLICA" {
            warnings.append("it is a replica of the key in \(quoted(regions.primary?.region ?? "an unknown region"))")
        }
    }

    private mutating func judgeState(_ metadata: KeyMetadata) {
        switch metadata.state {
        case "PendingDeletion", "PendingReplicaDeletion":
            let day = metadata.deletionDate.map { " on \(Self.day($0))" } ?? ""
            refusals.append("it will be deleted\(day), and everything under it lost with it; its owner can cancel that")
        case "Disabled": refusals.append("its owner disabled it")
        case "PendingImport": refusals.append("it has no material yet")
        // The key's primary moves to another region, and works meanwhile.
        case "Updating": break
        case "Enabled", nil: if metadata.isEnabled == false { refusals.append("its owner disabled it") }
        case .some(let other): refusals.append("its state is \(quoted(other))")
        }
    }

    /// A time of AWS's; nil for what is none.
    static func time(_ seconds: Double) -> Timestamp? {
        abs(seconds) < 1e11 ? Timestamp(milliseconds: Int64(seconds * 1000)) : nil
    }

    private static func day(_ seconds: Double) -> String {
        guard abs(seconds) < 1e11 else { return "an unknown day" }
        return Date(timeIntervalSince1970: seconds).formatted(.iso8601.year().month().day())
    }
}
