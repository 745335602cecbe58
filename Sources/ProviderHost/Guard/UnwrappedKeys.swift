internal import PluginKit

/// Which unwrapped keys may be served without asking the provider; pure, and knows no clock.
///
/// A key is fresh for a while, then the provider is asked again. Where it cannot be reached, a key is served until its time
/// is over; where it says that its key is disabled or denied, nothing is served any more.
struct UnwrappedKeys {
    /// What may be done about a key.
    enum Finding {
        /// Serve it.
        case fresh(KeyMaterial)
        /// Ask the provider; serve this one only where that cannot be reached.
        case stale(KeyMaterial)
        /// Ask the provider.
        case absent
    }

    /// What a key was unwrapped from.
    struct Origin: Hashable {
        let wrapped: WrappedKey
        let binding: WrapBinding
    }

    private struct Entry {
        let material: KeyMaterial
        let provenAt: Duration
    }

    private let lifetime: Duration
    private let freshness: Duration
    private var entries: [Origin: Entry] = [:]

    /// Goes up with everything that is forgotten, so that what was asked for before is not kept after.
    private(set) var generation = 0

    /// More keys than this and the oldest go; each takes a locked page.
    private static let capacity = 4096

    /// Serves keys for `lifetime` after they were last proven, and asks again after `freshness`.
    init(lifetime: Duration, freshness: Duration) {
        self.lifetime = lifetime
        self.freshness = min(lifetime, freshness)
    }

    /// How many keys there are.
    var count: Int { entries.count }

    /// Looks for a key.
    mutating func find(_ origin: Origin, at time: Duration) -> Finding {
        guard let entry = entries[origin] else { return .absent }
        let age = time - entry.provenAt
        if age < freshness { return .fresh(entry.material) }
        if age < lifetime { return .stale(entry.material) }
        entries[origin] = nil
        return .absent
    }

    /// Keeps a key that the provider has unwrapped; not where anything was forgotten since it was asked.
    ///
    /// - Parameters:
    ///   - material: The key.
    ///   - origin: What it was unwrapped from.
    ///   - time: When the provider was asked.
    ///   - asked: The ``generation`` at that time.
    mutating func keep(_ material: KeyMaterial, of origin: Origin, at time: Duration, since asked: Int) {
        guard lifetime > .zero, generation == asked else { return }
        entries = entries.filter { time - $0.value.provenAt < lifetime }
        if entries.count >= Self.capacity, let oldest = entries.min(by: { $0.value.provenAt < $1.value.provenAt }) {
            entries[oldest.key] = nil
        }
        entries[origin] = Entry(material: material, provenAt: time)
    }

    /// Forgets one key.
    mutating func drop(_ origin: Origin) {
        generation += 1
        entries[origin] = nil
    }

    /// Forgets everything.
    mutating func drop() {
        generation += 1
        entries = [:]
    }
}
