/// So many places; who comes when all are taken waits in order.
///
/// Tests run side by side, and a server takes no more than so many connections.
actor Places {
    /// Those for scratch databases.
    static let databases = Places(count: 12)

    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(count: Int) { free = count }

    /// Takes a place.
    func take() async {
        guard free == 0 else {
            free -= 1
            return
        }
        await withCheckedContinuation { waiting.append($0) }
    }

    /// Gives a place back.
    func giveBack() {
        guard waiting.isEmpty else { return waiting.removeFirst().resume() }
        free += 1
    }
}
