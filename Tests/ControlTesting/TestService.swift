package import Control
internal import Frames
internal import Glibc
internal import Synchronization

/// A service of a few entries, each of which shows one thing that a session must carry.
package final class TestService: ControlService {
    private let refused: Set<UInt32>
    private let counted = Mutex<[String: Int64]>([:])

    /// Makes a service that lets these users in no further than the socket.
    package init(refusing refused: Set<UInt32> = []) { self.refused = refused }

    /// How often something happened: `opened`, `closed`, `begun`, `interrupted`, `ended`, `killed`.
    package func count(of event: String) -> Int64 { counted.withLock { $0[event] ?? 0 } }

    fileprivate func note(_ event: String) { counted.withLock { $0[event, default: 0] += 1 } }

    /// Opens a session, unless the user is refused.
    package func openSession(for peer: Peer, hello: SessionHello) async throws -> any ControlChannel {
        guard !refused.contains(peer.uid) else {
            throw ControlError(.callerNotAllowed, "no role lets \(peer.user) in", hint: "Ask a server_admin.")
        }
        note("opened")
        return TestChannel(service: self, peer: peer, hello: hello)
    }
}

/// A session of the test service.
private actor TestChannel: ControlChannel {
    let service: TestService
    let peer: Peer
    let hello: SessionHello
    private var isCancelled = false
    private var waiting: CheckedContinuation<Void, Never>?

    init(service: TestService, peer: Peer, hello: SessionHello) {
        self.service = service
        self.peer = peer
        self.hello = hello
    }

    func perform(_ request: ControlRequest, for client: any ControlClient) async throws -> Answer {
        service.note("begun")
        isCancelled = false
        defer { service.note("ended") }
        switch request {
        case .call(let call): return try await perform(call, for: client)
        case .script(let script):
            await client.show(.output(script.text))
            return Answer(.array(script.arguments.map { .string($0) }), isGood: script.isInteractive)
        case .complete(let text, let cursor): return Answer([.string(text), .integer(Int64(cursor))])
        case .describe: return Answer("described")
        case .ping: return Answer(.null)
        }
    }

    func cancel() async {
        isCancelled = true
        waiting?.resume()
        waiting = nil
    }

    func killScript() async { service.note("killed") }

    func close() async { service.note("closed") }

    private func perform(_ call: Call, for client: any ControlClient) async throws -> Answer {
        switch call.name {
        case "echo": return Answer(["arguments": .array(call.arguments), "named": .map(call.named)])
        case "peer": return describePeer()
        case "wait": return try await wait()
        case "sleep": try await Task.sleep(for: .milliseconds(number(call)))
        case "print": for _ in 0..<number(call) { await client.show(.output(Self.kibibyte)) }
        case "progress":
            for done in 0..<number(call) { await client.show(.progress(.init(run: 1, phase: "p", done: done))) }
        case "large": return Answer(.string(String(repeating: "x", count: Int(number(call)))))
        case "ask": return Answer(await client.answer(Question("Name?", isSecret: true)).map { .string($0) } ?? .null)
        case "events": try await showAll(client)
        case "fail": throw ControlError(codeName: "storeTestFailed", "cannot", hint: "Do not.", status: 2)
        case "trip": throw Trip()
        case "confirmation": return Answer(.string("\(call.confirmation)"))
        case "write":
            for descriptor in call.descriptors {
                _ = Glibc.write(descriptor, "handed over", 11)
                Glibc.close(descriptor)
            }
        default: throw ControlError(.callerNotFound, "there is no entry \"\(call.name)\"")
        }
        return Answer(.null)
    }

    private func number(_ call: Call) -> Int64 {
        if case .integer(let number)? = call.arguments.first { number } else { 0 }
    }

    private func describePeer() -> Answer {
        Answer([
            "uid": .integer(Int64(peer.uid)), "gid": .integer(Int64(peer.gid)), "pid": .integer(Int64(peer.pid)),
            "user": .string(peer.user), "groups": .array(peer.groups.sorted().map { .string($0) }),
            "way": .string(peer.way.rawValue), "width": .integer(Int64(hello.width ?? 0)),
            "interactive": .bool(hello.isInteractive),
        ])
    }

    private func wait() async throws -> Answer {
        await withCheckedContinuation { if isCancelled { $0.resume() } else { waiting = $0 } }
        service.note("interrupted")
        throw ControlError(.callerInterrupted, "interrupted")
    }

    private func showAll(_ client: any ControlClient) async throws {
        for event in Self.allEvents { await client.show(event) }
    }

    private static let kibibyte = String(repeating: "k", count: 1023) + "\n"

    fileprivate static let allEvents: [ControlEvent] = [
        .output("o\u{1B}[0m\u{0}é"), .note("n"), .warning("w"), .review(.sample),
        .progress(
            .init(run: 7, phase: "re-encrypting", subject: "a.b", done: 3, total: 9, rate: 1.5, leftMilliseconds: 4)),
        .progress(.init(run: 7, phase: "waiting", done: 0, waiting: "for the window")),
    ]
}

/// An error without words for people.
private struct Trip: Error { let secret = "CANARY-of-an-error" }

extension Answer {
    /// An answer with every kind of block and value.
    package static let sample = Answer(
        ["null": .null, "list": [1, -1, true, "é"], "bytes": .binary([0, 255]), "double": .double(0.5)],
        [
            .lines(["one", "two"]), .record([Field("a", "1"), Field("b", "")]),
            .table(title: "t", columns: [Column("n", isNumber: true), Column("c")], rows: [["1", "x"], ["2", "y"]]),
            .table(title: nil, columns: [], rows: []),
        ], isGood: false)
}

/// Every event that the entry `events` shows, in order.
package let everyEvent: [ControlEvent] = TestChannel.allEvents
