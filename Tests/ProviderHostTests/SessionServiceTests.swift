internal import GRPCCore
internal import KeyModel
internal import PluginKit
internal import SwiftProtobuf
internal import Synchronization
internal import Testing

@testable import PluginWire

/// What an author's program makes of a session, without a connection.
struct SessionServiceTests {
    private typealias Request = Keyturn_Provider_V1_SessionRequest
    private typealias Response = Keyturn_Provider_V1_SessionResponse

    /// A provider that wraps a key only once it is let.
    private actor Gate: ProviderPlugin, KeyProvider {
        private var isOpen = false
        private var waiting: [CheckedContinuation<Void, Never>] = []

        nonisolated var description: PluginDescription { PluginDescription(kind: "gate", version: "1") }

        func open(_ settings: [String: String]) async throws(ProviderError) -> any KeyProvider { self }

        /// How many wait for it to open.
        var count: Int { waiting.count }

        /// Lets all pass.
        func open() {
            isOpen = true
            for caller in waiting { caller.resume() }
            waiting = []
        }

        func wrap(
            _ material: borrowing SecretBytes, binding: WrapBinding, _ call: ProviderCall
        ) async throws(ProviderError) -> WrappedKey {
            let ciphertext = material.withExposedBytes { Bytes($0.map { ~$0 }) }
            if !isOpen {
                await withCheckedContinuation { waiting.append($0) }
            }
            return WrappedKey(ciphertext: ciphertext, providerKeyID: "k")
        }

        func unwrap(
            _ wrapped: WrappedKey, binding: WrapBinding, _ call: ProviderCall
        ) async throws(ProviderError) -> SecretBytes {
            guard wrapped.ciphertext.count == 32 else {
                throw ProviderError(.dataNotAuthentic, "it was changed", hint: "Look at it.")
            }
            return SecretBytes(copying: wrapped.ciphertext.map { ~$0 })
        }

        func info() async throws(ProviderError) -> ProviderInfo { ProviderInfo(kind: "gate", version: "1") }
        func test(_ call: ProviderCall) async throws(ProviderError) -> [ProviderCheck] { [] }
        func describeKey(_ call: ProviderCall) async throws(ProviderError) -> ProviderKey {
            ProviderKey(id: "k", isUsable: true, summary: "")
        }
    }

    /// What is answered.
    private final class Answers: RPCWriterProtocol {
        private let responses = Mutex<[Response]>([])

        var all: [Response] { responses.withLock { $0 } }

        func write(_ element: Response) async throws { responses.withLock { $0.append(element) } }

        func write(contentsOf elements: some Sequence<Response>) async throws {
            for element in elements { try await write(element) }
        }
    }

    private let gate = Gate()
    private let answers = Answers()

    private func wrap(_ id: UInt64) throws -> Request {
        let binding = Keyturn_Provider_V1_Binding(try Sample.binding)
        return .with {
            $0.id = id
            $0.wrap.binding = binding
            $0.wrap.material.append(contentsOf: [UInt8](repeating: 9, count: 32))
        }
    }

    private func unwrap(_ id: UInt64, _ count: Int = 32) throws -> Request {
        let binding = Keyturn_Provider_V1_Binding(try Sample.binding)
        return .with {
            $0.id = id
            $0.unwrap.binding = binding
            $0.unwrap.wrapped.ciphertext.append(contentsOf: [UInt8](repeating: 9, count: count))
        }
    }

    /// Has a session answered while `body` runs; it may end it, or wait for its end.
    private func serve(
        _ body: (AsyncThrowingStream<Request, any Error>.Continuation, ServerContext.RPCCancellationHandle) async throws
            -> Void
    ) async throws {
        let (requests, host) = AsyncThrowingStream<Request, any Error>.makeStream()
        let handle = ServerContext.RPCCancellationHandle()
        let context = ServerContext(
            descriptor: Keyturn_Provider_V1_KeyProvider.Method.Session.descriptor, remotePeer: "", localPeer: "",
            cancellation: handle)
        let service = ProviderService(gate) {}
        async let end: Void = service.session(
            request: RPCAsyncSequence(wrapping: requests), response: RPCWriter(wrapping: answers), context: context)
        try await body(host, handle)
        try await end
    }

    @Test
    func aSlowRequestHoldsUpNoOther() async throws {
        try await serve { host, _ in
            host.yield(try wrap(1))
            host.yield(try unwrap(2))
            #expect(await Sample.eventually { answers.all.count == 1 })
            #expect(answers.all.map(\.id) == [2])
            await gate.open()
            host.finish()
        }
        #expect(answers.all.map(\.id) == [2, 1])
    }

    @Test
    func onlySoManyAreInHand() async throws {
        try await serve { host, _ in
            for id in 1...100 as ClosedRange<UInt64> { host.yield(try wrap(id)) }
            host.finish()
            #expect(await Sample.eventually { await gate.count == SessionPlaces.count })
            for _ in 0..<100 { await Task.yield() }
            #expect(await gate.count == SessionPlaces.count)
            await gate.open()
        }
        #expect(Set(answers.all.map(\.id)) == Set(1...100))
    }

    @Test
    func whatIsInHandIsAnsweredBeforeAnEnd() async throws {
        try await serve { host, handle in
            host.yield(try wrap(1))
            #expect(await Sample.eventually { await gate.count == 1 })
            handle.cancel()
            await gate.open()
            // The host does not end its side.
            _ = host
        }
        #expect(answers.all.map(\.id) == [1])
    }

    @Test
    func anIdleSessionEndsWithTheProgram() async throws {
        try await serve { _, handle in handle.cancel() }
        #expect(answers.all.isEmpty)
    }

    @Test
    func aFailureIsTheStatusOfASingleCall() async throws {
        try await serve { host, _ in
            host.yield(try unwrap(1, 5))
            host.yield(.with { $0.id = 2 })
            host.finish()
        }
        let failures = answers.all.sorted { $0.id < $1.id }.map(\.failure)
        #expect(failures.map(\.code) == [15, 12])
        #expect(failures[0].message == "it was changed" && failures[0].hint == "Look at it.")
        #expect(failures[0].status.code == .dataLoss)
    }

    @Test(arguments: [[0], [1, 1], [2, 1]] as [[UInt64]])
    func idsAscend(_ ids: [UInt64]) async throws {
        await #expect(throws: RPCError.self) {
            try await serve { host, _ in
                for id in ids { host.yield(try unwrap(id)) }
            }
        }
    }
}
