internal import KeyModel
internal import PluginKit

/// How a provider turns and lists its keys, where it says that it can.
extension ProviderConformance {
    /// What the provider says that it can; nothing where it does not answer, which another check tells.
    func abilities() async -> Set<ProviderAbility> {
        do throws(ProviderError) { return try await provider.info().abilities } catch { return [] }
    }

    /// The checks for what it can, and for what it leaves out.
    func keyChecks(_ abilities: Set<ProviderAbility>) -> [Check] {
        var checks: [Check] = []
        if abilities != Set(ProviderAbility.allCases) {
            checks.append(("a call that it leaves out is refused as such", { try await leavesOut(abilities) }))
        }
        if abilities.contains(.versions) {
            checks.append(("it lists its keys, the one that wraps last", listsKeys))
        }
        guard abilities.contains(.rotate), turnsKeys else { return checks }
        checks += [
            ("a new key wraps, and what older ones wrapped unwraps", newKeyWraps),
            ("a repeated request for a new key makes no second one", repeatedRequest),
            ("no new key has the name of an older one", newNames),
        ]
        if abilities.contains(.versions) {
            checks.append(("a new key is listed after the older ones", newKeyIsListed))
        }
        return checks
    }

    private func leavesOut(_ abilities: Set<ProviderAbility>) async throws {
        if !abilities.contains(.rotate) {
            try await refused("a new key", as: .providerUnsupported) {
                _ = try await provider.rotateKey(call("left-out"))
            }
        }
        if !abilities.contains(.versions) {
            try await refused("a list of its keys", as: .providerUnsupported) {
                _ = try await provider.listVersions(call("left-out"))
            }
        }
    }

    private func listsKeys() async throws {
        let wrapped = try await wrap(32, "list")
        let ids = try await provider.listVersions(call("list")).map(\.id)
        try require(ids.last == wrapped.providerKeyID, "the last is \(ids.last ?? "none"), not the one that wraps")
        try require(Set(ids).count == ids.count, "it lists one key twice")
    }

    private func newKeyWraps() async throws {
        let before = try await provider.describeKey(call("turn-before")).id
        let old = try await wrap(32, "turn-old")
        let new = try await provider.rotateKey(call("turn"))
        try require(new.id != before, "the new key has the name of the old one")
        try require(new.isUsable, "the new key cannot wrap: \(new.summary)")
        try require(try await provider.describeKey(call("turn-after")).id == new.id, "it still describes the old one")
        let wrapped = try await wrap(32, "turn-new")
        try require(wrapped.providerKeyID == new.id, "it still wraps under the old one")
        for (key, when) in [(old, "before"), (wrapped, "after")] {
            let back = try await provider.unwrap(key, binding: binding, call("turn-back"))
            try require(back.isEqual(to: Self.material(32)), "what was wrapped \(when) comes back as another")
        }
        let renamed = WrappedKey(
            ciphertext: old.ciphertext, providerKeyID: new.id, annotations: old.annotations)
        try await refused("an older wrap under the new key's name") {
            _ = try await provider.unwrap(renamed, binding: binding, call("turn-renamed"))
        }
    }

    private func repeatedRequest() async throws {
        let request = call("repeat")
        let ids = try await withThrowingTaskGroup(of: String.self, returning: Set<String>.self) { group in
            for _ in 0..<4 { group.addTask { try await provider.rotateKey(request).id } }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        let again = try await provider.rotateKey(request).id
        try require(ids == [again], "one request makes \(ids.union([again]).count) keys")
        let now = try await provider.describeKey(call("repeat-after")).id
        try require(now == again, "another key wraps than the one that it made")
    }

    private func newNames() async throws {
        var ids = [try await provider.describeKey(call("names")).id]
        for number in 1...3 { ids.append(try await provider.rotateKey(call("names-\(number)")).id) }
        try require(Set(ids).count == ids.count, "three new keys have \(Set(ids).count - 1) names of their own")
    }

    private func newKeyIsListed() async throws {
        let before = try await provider.listVersions(call("listed-before")).map(\.id)
        let new = try await provider.rotateKey(call("listed")).id
        let after = try await provider.listVersions(call("listed-after")).map(\.id)
        try require(after.last == new, "the last is not the new one")
        // A long list may come to its end.
        let isComplete = before.count >= 200 || Array(after.dropLast()) == before
        try require(isComplete, "of \(before.count) older keys it lists \(Set(before).intersection(after).count)")
    }
}
