internal import KeyModel
internal import PluginKit
internal import PluginWire

/// What a KMS v2 plugin says of itself, poll by poll, and which key may be believed in; pure.
///
/// A key is believed in once two polls in a row name it: some plugins lag behind themselves for one poll after their key was
/// turned. A key that was left never comes back, since what it wrapped could then not be told from what it wraps.
struct KeyObservation {
    /// What one poll said.
    struct Status: Hashable {
        let version: String
        let healthz: String
        let keyID: String
    }

    /// What came of a poll.
    enum Finding: Hashable {
        /// This key wraps.
        case settled(String)
        /// It may be about to change; poll again.
        case unsettled
    }

    private(set) var keyID: String?
    private var candidate: String?
    private var version: String?
    private var left: Set<String> = []
    private let provider: Name

    init(provider: Name) { self.provider = provider }

    /// Takes a poll.
    ///
    /// - Throws: `ProviderError` where what it says cannot be.
    mutating func take(_ status: Status) throws(ProviderError) -> Finding {
        guard ["v2", "v2beta1"].contains(status.version) else {
            throw invalid("speaks version \(quoted(status.version)) of KMS, not v2")
        }
        guard version == nil || version == status.version else {
            throw invalid("changed its version to \(quoted(status.version)) while it ran")
        }
        version = status.version
        guard status.healthz == "ok" else {
            throw ProviderError(
                .providerUnavailable, "provider \"\(provider)\" says that it is not well: \(quoted(status.healthz))")
        }
        try AnswerCheck.check(keyID: status.keyID, from: provider)
        return try settle(status.keyID)
    }

    private mutating func settle(_ seen: String) throws(ProviderError) -> Finding {
        guard seen != keyID else {
            candidate = nil
            return .settled(seen)
        }
        guard !left.contains(seen) else {
            throw invalid("went back to its key \(quoted(seen)), which it had left")
        }
        guard candidate == seen else {
            candidate = seen
            return .unsettled
        }
        if let keyID { left.insert(keyID) }
        keyID = seen
        candidate = nil
        return .settled(seen)
    }

    private func invalid(_ what: String) -> ProviderError {
        ProviderError(
            .providerAnswerInvalid, "provider \"\(provider)\" \(what)",
            hint: "What it wrapped before is kept; nothing is wrapped until its status makes sense."
        )
    }
}
