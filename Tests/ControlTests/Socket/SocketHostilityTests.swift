import Control
import ControlTesting
import Foundation
import Frames
import Testing
import ToolTesting

/// What clients do that mean no good, or are broken; the daemon says so, ends that session, and serves the others.
struct SocketHostilityTests {
    /// Serves a hostile client, then makes sure that a good one is still served.
    private func surviving(
        _ service: TestService = TestService(), limits: SocketServer.Limits = .init(),
        _ attack: @Sendable (SocketSandbox, SocketServer) async throws -> Void
    ) async throws {
        let sandbox = try SocketSandbox()
        try await sandbox.serving(service, limits: limits) { server in
            try await attack(sandbox, server)
            let channel = try await sandbox.channel()
            let answer = try await channel.perform(.call(Call("echo", [1])), for: RecordingClient())
            #expect(answer.value["arguments"] == [1])
            await channel.close()
            #expect(await eventually { server.sessionCount == 0 })
        }
    }

    private func failure(_ messages: [DaemonMessage]) -> ControlError? {
        guard case .failure(nil, let error)? = messages.last else { return nil }
        return error
    }

    @Test func bytesThatAreNoFrame() async throws {
        try await surviving { sandbox, _ in
            for seed in UInt64(1)...20 {
                var random = SeededGenerator(seed: seed)
                let client = try RawClient(to: sandbox.path)
                await client.send((0..<5000).map { _ in UInt8.random(in: 0...255, using: &random) })
                client.finish()
                let error = failure(try await client.messages())
                #expect(error?.codeName == "internalProtocol", "seed \(seed)")
            }
        }
    }

    @Test(arguments: [[0xFF, 0xFF, 0xFF, 0xFF], [0, 0x10, 0, 1], [0x7F, 0xFF, 0xFF, 0xFF]] as [[UInt8]])
    func aLengthBeyondTheLimit(head: [UInt8]) async throws {
        try await surviving { sandbox, _ in
            let stranger = try RawClient(to: sandbox.path)
            await stranger.send(head)
            #expect(failure(try await stranger.messages())?.codeName == "internalProtocol")
            let guest = try RawClient(to: sandbox.path)
            try await guest.greet()
            await guest.send(head)
            #expect(failure(try await guest.messages())?.codeName == "internalProtocol")
        }
    }

    @Test func halfAFrameAndGone() async throws {
        try await surviving { sandbox, server in
            for count in [1, 3, 4, 10] {
                let client = try RawClient(to: sandbox.path)
                await client.send(Array([0, 0, 0, 40, 0x82, 0xA4, 0x6B, 0x69, 0x6E, 0x64].prefix(count)))
            }
            #expect(await eventually { server.sessionCount == 0 })
        }
    }

    @Test func silenceInsteadOfAHello() async throws {
        var limits = SocketServer.Limits()
        limits.hello = .milliseconds(200)
        try await surviving(limits: limits) { sandbox, _ in
            let mute = try RawClient(to: sandbox.path)
            let slow = try RawClient(to: sandbox.path)
            await slow.send([0, 0, 0])
            #expect(try await mute.messages().isEmpty)
            #expect(try await slow.messages().isEmpty)
        }
    }

    @Test func anotherVersion() async throws {
        try await surviving { sandbox, _ in
            let client = try RawClient(to: sandbox.path)
            try await client.send(["kind": "hello", "protocol": 999, "new": true])
            let error = failure(try await client.messages())
            #expect(error?.codeName == "storeDaemonUnreachable")
            #expect(error?.message.contains("version 999") == true)
        }
    }

    @Test(
        arguments: [
            ["kind": "request", "id": 1, "what": "ping"], ["kind": "nonsense"], [:], [1, 2], .null,
            ["kind": "hello", "protocol": "1"], ["kind": "hello", "protocol": 1, "way": "root", "interactive": true],
            ["kind": "hello", "protocol": 1, "way": "call", "interactive": 1],
            ["kind": "hello", "protocol": 1, "way": "call", "interactive": true, "width": 0],
        ] as [FrameValue])
    func aFirstMessageThatIsNoHello(value: FrameValue) async throws {
        try await surviving { sandbox, _ in
            let client = try RawClient(to: sandbox.path)
            try await client.send(value)
            #expect(failure(try await client.messages())?.codeName == "internalProtocol")
        }
    }

    @Test(
        arguments: [
            ["kind": "hello", "protocol": 1, "way": "call", "interactive": true],
            ["kind": "request", "id": -1, "what": "ping"], ["kind": "request", "id": 1, "what": "format"],
            ["kind": "request", "id": 1, "what": "call", "confirmation": "ask"],
            ["kind": "request", "id": 1, "what": "call", "name": "echo", "confirmation": "sure"],
            ["kind": "request", "id": 1, "what": "complete", "text": "ab", "cursor": 3],
            ["kind": "request", "id": 1, "what": "ping", "descriptors": 1],
            ["kind": "request", "id": 1, "what": "call", "name": "echo", "confirmation": "ask", "descriptors": 2],
            ["kind": "answer"], ["kind": "cancel", "id": "1"], 7,
        ] as [FrameValue])
    func aMessageThatIsNotOfTheProtocol(value: FrameValue) async throws {
        let service = TestService()
        try await surviving(service) { sandbox, _ in
            let client = try RawClient(to: sandbox.path)
            try await client.greet()
            try await client.send(value)
            #expect(failure(try await client.messages())?.codeName == "internalProtocol")
        }
        #expect(service.count(of: "opened") == service.count(of: "closed"))
    }

    @Test func moreBytesBehindTheHello() async throws {
        try await surviving { sandbox, _ in
            let client = try RawClient(to: sandbox.path)
            let hello = ClientMessage.hello(version: 1, SessionHello(way: .call, isInteractive: false)).frame
            await client.send(try FrameEncoder().frame(hello) + [0])
            #expect(failure(try await client.messages())?.codeName == "internalProtocol")
        }
    }

    @Test(arguments: [1, 8]) func descriptorsThatBelongToNothing(count: Int) async throws {
        try await surviving { sandbox, _ in
            var ends: [Int32] = [0, 0]
            #expect(pipe(&ends) == 0)
            let client = try RawClient(to: sandbox.path)
            try await client.greet()
            let handed = [Int32](repeating: ends[1], count: count)
            try await client.send(ClientMessage.request(id: 1, .describe, descriptors: 0).frame, descriptors: handed)
            close(ends[1])
            #expect(failure(try await client.messages())?.codeName == "internalProtocol")
            // The daemon has closed them all.
            var byte: UInt8 = 0
            #expect(read(ends[0], &byte, 1) == 0)
            close(ends[0])
        }
    }

    @Test func moreDescriptorsThanMayBe() async throws {
        try await surviving { sandbox, server in
            let client = try RawClient(to: sandbox.path)
            try await client.greet()
            let request = ClientMessage.request(id: 1, .call(Call("wait")), descriptors: 0).frame
            for _ in 0..<3 { try await client.send(request, descriptors: [0, 0, 0, 0, 0, 0]) }
            _ = try await client.messages()
            #expect(await eventually { server.sessionCount == 0 })
        }
    }

    @Test func aClientThatStopsReadingHoldsNobodyUp() async throws {
        var limits = SocketServer.Limits()
        limits.slowReader = .milliseconds(50)
        let service = TestService()
        try await surviving(service, limits: limits) { sandbox, _ in
            let slow = try RawClient(to: sandbox.path)
            try await slow.greet()
            try await slow.request(1, .call(Call("print", [20_000])))
            #expect(await eventually { service.count(of: "ended") == 1 })
            // It finds what fitted, how much is missing, and the result.
            try await slow.send(ClientMessage.close.frame)
            let messages = try await slow.messages()
            let outputs = messages.count { if case .event(_, .output) = $0 { true } else { false } }
            let notes = messages.compactMap { if case .event(_, .note(let text)) = $0 { text } else { nil } }
            #expect(outputs < 20_000)
            #expect(notes.count == 1)
            #expect(notes.first?.contains("were dropped") == true)
            #expect(messages.last == .answer(id: 1, Answer(.null)))
        }
    }

    @Test func aClientThatNeverReadsIsCutOff() async throws {
        var limits = SocketServer.Limits()
        limits.slowReader = .milliseconds(10)
        limits.stall = .milliseconds(300)
        let service = TestService()
        try await surviving(service, limits: limits) { sandbox, server in
            let slow = try RawClient(to: sandbox.path)
            try await slow.greet()
            try await slow.request(1, .call(Call("print", [20_000])))
            #expect(await eventually { service.count(of: "opened") == 1 })
            #expect(await eventually { server.sessionCount == 0 })
            #expect(service.count(of: "closed") == 1)
        }
    }

    @Test func progressIsDroppedWithoutAWord() async throws {
        let service = TestService()
        try await surviving(service) { sandbox, _ in
            let slow = try RawClient(to: sandbox.path)
            try await slow.greet()
            try await slow.request(1, .call(Call("progress", [30_000])))
            #expect(await eventually(within: .seconds(120)) { service.count(of: "ended") == 1 })
        }
    }

    @Test func aClientThatDiesLeavesNothingBehind() async throws {
        let service = TestService()
        try await surviving(service) { sandbox, server in
            for name in ["wait", "ask"] {
                do {
                    let client = try RawClient(to: sandbox.path)
                    try await client.greet()
                    try await client.request(1, .call(Call(name)))
                    let begun = service.count(of: "ended") + 1
                    #expect(await eventually { service.count(of: "begun") == begun })
                }
                #expect(await eventually { server.sessionCount == 0 })
            }
            #expect(service.count(of: "interrupted") == 1)
            #expect(service.count(of: "closed") == 2)
        }
    }

    @Test func moreSessionsThanMayBe() async throws {
        var limits = SocketServer.Limits()
        limits.sessions = 3
        try await surviving(limits: limits) { sandbox, server in
            var channels: [SocketChannel] = []
            for _ in 0..<3 { channels.append(try await sandbox.channel()) }
            let error = await #expect(throws: ControlError.self) { try await sandbox.channel() }
            #expect(error?.codeName == "callerLimitExceeded")
            for channel in channels { await channel.close() }
            #expect(await eventually { server.sessionCount == 0 })
        }
    }

    @Test func aFloodOfRequestsThatNobodyReadsIsHeldBack() async throws {
        let service = TestService()
        try await surviving(service) { sandbox, _ in
            let flood = try RawClient(to: sandbox.path)
            try await flood.greet()
            let ping = try FrameEncoder().frame(ClientMessage.request(id: 1, .ping, descriptors: 0).frame)
            let many = Array([[UInt8]](repeating: ping, count: 20_000).joined())
            let sending = Task { await flood.send(many) }
            let channel = try await sandbox.channel()
            for _ in 0..<50 { _ = try await channel.perform(.ping, for: RecordingClient()) }
            await channel.close()
            flood.finish()
            _ = await sending.value
        }
    }
}
