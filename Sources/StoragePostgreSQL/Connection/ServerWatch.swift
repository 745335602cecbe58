internal import CPostgreSQL
internal import Dispatch
internal import Glibc
internal import Synchronization

/// Looks from time to time whether calls wait for a server that is gone although its machine is still there, and ends
/// them: the server was stopped, or what lies between swallows everything.
///
/// A server that gives somebody else a connection, or refuses him one, is there; so is every long statement's.
final class ServerWatch: Sendable {
    private let place: ConnectionString
    private let waits: [AnswerWait]
    private let limits: AnswerLimits
    private let queue = DispatchQueue(label: "keyturn.watch")
    private let isEnded = Atomic(false)

    /// Begins to watch; ends with ``end()``, or with the object.
    init(_ place: ConnectionString, _ waits: [AnswerWait], _ limits: AnswerLimits) {
        self.place = place
        self.waits = waits
        self.limits = limits
        lookLater()
    }

    /// Looks no more.
    func end() { isEnded.store(true, ordering: .relaxed) }

    private func lookLater() {
        let pause = max(50, limits.silence.wholeMilliseconds / 4)
        queue.asyncAfter(deadline: .now() + .milliseconds(pause)) { [weak self] in
            guard let self, !isEnded.load(ordering: .relaxed) else { return }
            look()
            lookLater()
        }
    }

    private func look() {
        var known: [AnswerWait.Address: Bool] = [:]
        for wait in waits {
            guard let call = wait.call(silentFor: limits.silence) else { continue }
            if call.isOverdue {
                wait.giveUp(call)
                continue
            }
            let isThere = known[call.address] ?? isAnswering(call.address)
            known[call.address] = isThere
            if isThere { wait.heard(for: call) } else { wait.giveUp(call) }
        }
    }

    /// Whether a server lets anybody in, or tells him why not.
    private func isAnswering(_ address: AnswerWait.Address) -> Bool {
        let seconds = max(2, limits.probe.components.seconds)
        let options =
            [("dbname", place.text), ("application_name", "keyturn")] + address.map { ($0.key, $0.value) }
            + [("connect_timeout", "\(seconds)")]
        return withConnectionOptions(options) { [PQPING_OK, PQPING_REJECT].contains(PQpingParams($0, $1, 1)) }
    }
}

/// Hands options to C, the later ones above the earlier; both lists end with none and live as long as `body` runs.
func withConnectionOptions<Value>(
    _ options: [(name: String, value: String)],
    _ body: (UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<UnsafePointer<CChar>?>?) -> Value
) -> Value {
    // Owned copies, since libpq wants an array of addresses.
    let names = options.map { strdup($0.name) }
    let values = options.map { strdup($0.value) }
    defer { for copy in names + values { free(copy) } }
    return (names.map { UnsafePointer($0) } + [nil]).withUnsafeBufferPointer { names in
        (values.map { UnsafePointer($0) } + [nil]).withUnsafeBufferPointer { values in
            body(names.baseAddress, values.baseAddress)
        }
    }
}
