internal import Synchronization

/// A truth that several threads share.
final class Flag: Sendable {
    private let value: Atomic<Bool>

    init(_ value: Bool = false) { self.value = Atomic(value) }

    var isSet: Bool { value.load(ordering: .acquiring) }

    func set() { value.store(true, ordering: .releasing) }

    /// Lowers it; whether it was up.
    func lower() -> Bool { value.exchange(false, ordering: .acquiringAndReleasing) }
}
