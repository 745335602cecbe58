import Control
import ControlTesting
import Foundation
import Frames
import Testing

/// Requests, events, questions and errors between a client and a daemon that mean well.
struct SocketSessionTests {
    @Test func carriesACallBothWays() async throws {
        let sandbox = try SocketSandbox()
        try await sandbox.serving { _ in
            let channel = try await sandbox.channel()
            let call = Call("echo", [1, "two", .binary([3])], named: ["four": .double(4.5)])
            let answer = try await channel.perform(.call(call), for: RecordingClient())
            #expect(answer.value == ["arguments": [1, "two", .binary([3])], "named": ["four": .double(4.5)]])
            #expect(answer.isGood)
            await channel.close()
        }
    }

    @Test func carriesEveryEventInOrder() async throws {
        let sandbox = try SocketSandbox()
        try await sandbox.serving { _ in
            let channel = try await sandbox.channel()
            let client = RecordingClient()
            _ = try await channel.perform(.call(Call("events")), for: client)
            #expect(client.events == everyEvent)
            await channel.close()
        }
    }

    @Test func carriesScriptsCompletionsAndConfirmations() async throws {
        let sandbox = try SocketSandbox()
        let service = TestService()
        try await sandbox.serving(service) { _ in
            let channel = try await sandbox.channel()
            let client = RecordingClient()
            let script = Script("return 1\n", name: "stdin", isInteractive: false, arguments: ["a", "b"])
            let answer = try await channel.perform(.script(script), for: client)
            #expect(answer == Answer(["a", "b"], isGood: false))
            #expect(client.events == [.output("return 1\n")])
            let completion = try await channel.perform(.complete(text: "keyr", cursor: 4), for: client)
            #expect(completion.value == ["keyr", 4])
            #expect(try await channel.perform(.describe, for: client).value == "described")
            for confirmation in [Confirmation.ask, .given, .plan(hash: "abc")] {
                let call = Call("confirmation", confirmation: confirmation)
                #expect(try await channel.perform(.call(call), for: client).value == .string("\(confirmation)"))
            }
            await channel.killScript()
            #expect(await eventually { service.count(of: "killed") == 1 })
            await channel.close()
            #expect(await eventually { service.count(of: "closed") == 1 })
        }
    }

    @Test(arguments: ["yes", nil])
    func asksAndCarriesTheReply(reply: String?) async throws {
        let sandbox = try SocketSandbox()
        try await sandbox.serving { _ in
            let channel = try await sandbox.channel()
            let client = RecordingClient(replying: reply)
            let answer = try await channel.perform(.call(Call("ask")), for: client)
            #expect(answer.value == reply.map { .string($0) } ?? .null)
            #expect(client.questions == [Question("Name?", isSecret: true)])
            await channel.close()
        }
    }

    @Test func errorsKeepCodeMessageHintAndStatus() async throws {
        let sandbox = try SocketSandbox()
        try await sandbox.serving { _ in
            let channel = try await sandbox.channel()
            let expected = ControlError(codeName: "storeTestFailed", "cannot", hint: "Do not.", status: 2)
            await #expect(throws: expected) { try await channel.perform(.call(Call("fail")), for: RecordingClient()) }
            // One that has no words for people says nothing of what it holds.
            let error = await #expect(throws: ControlError.self) {
                try await channel.perform(.call(Call("trip")), for: RecordingClient())
            }
            #expect(error?.codeName == "internalUnexpected")
            #expect(error?.message.contains("CANARY") == false)
            #expect(try await channel.perform(.ping, for: RecordingClient()) == Answer(.null))
            await channel.close()
        }
    }

    @Test func knowsWhoIsThereFromTheKernel() async throws {
        let sandbox = try SocketSandbox()
        try await sandbox.serving { _ in
            let channel = try await sandbox.channel(SessionHello(way: .console, isInteractive: true, width: 132))
            let peer = try await channel.perform(.call(Call("peer")), for: RecordingClient()).value
            #expect(peer["uid"] == .integer(Int64(geteuid())))
            #expect(peer["pid"] == .integer(Int64(getpid())))
            #expect(peer["way"] == "console")
            #expect(peer["width"] == 132)
            #expect(peer["interactive"] == true)
            if geteuid() == 0 {
                #expect(peer["user"] == "root")
                #expect(peer["groups"] == ["root"])
            }
            await channel.close()
        }
    }

    @Test func cancelsAndGoesOn() async throws {
        let sandbox = try SocketSandbox()
        let service = TestService()
        try await sandbox.serving(service) { _ in
            let channel = try await sandbox.channel()
            let waiting = Task { try await channel.perform(.call(Call("wait")), for: RecordingClient()) }
            #expect(await eventually { service.count(of: "begun") == 1 })
            // The session answers while it works, and takes no second request.
            #expect(try await channel.perform(.ping, for: RecordingClient()) == Answer(.null))
            let busy = await #expect(throws: ControlError.self) {
                try await channel.perform(.describe, for: RecordingClient())
            }
            #expect(busy?.codeName == "callerBusy")
            await channel.cancel()
            let error = await #expect(throws: ControlError.self) { try await waiting.value }
            #expect(error?.codeName == "callerInterrupted")
            #expect(try await channel.perform(.describe, for: RecordingClient()).value == "described")
            await channel.close()
        }
    }

    @Test func cancellingTheTaskCancelsTheRequest() async throws {
        let sandbox = try SocketSandbox()
        let service = TestService()
        try await sandbox.serving(service) { _ in
            let channel = try await sandbox.channel()
            let task = Task { try await channel.perform(.call(Call("wait")), for: RecordingClient()) }
            #expect(await eventually { service.count(of: "begun") == 1 })
            task.cancel()
            await #expect(throws: ControlError.self) { try await task.value }
            #expect(service.count(of: "interrupted") == 1)
            await channel.close()
        }
    }

    @Test func handsDescriptorsOverAndClosesThem() async throws {
        let sandbox = try SocketSandbox()
        try await sandbox.serving { _ in
            let channel = try await sandbox.channel()
            var ends: [Int32] = [0, 0]
            #expect(pipe(&ends) == 0)
            _ = try await channel.perform(.call(Call("write", descriptors: [ends[1]])), for: RecordingClient())
            var text = [UInt8](repeating: 0, count: 64)
            let first = read(ends[0], &text, 64)
            #expect(String(decoding: text[..<max(0, first)], as: UTF8.self) == "handed over")
            // Nobody holds the other end any more: not the daemon, not the channel.
            #expect(read(ends[0], &text, 64) == 0)
            close(ends[0])
            await channel.close()
        }
    }

    @Test func refusesWhatIsTooLargeAndGoesOn() async throws {
        let sandbox = try SocketSandbox()
        try await sandbox.serving { _ in
            let channel = try await sandbox.channel()
            let call = Call("echo", [.string(String(repeating: "x", count: 2 << 20))])
            let tooLarge = await #expect(throws: ControlError.self) {
                try await channel.perform(.call(call), for: RecordingClient())
            }
            #expect(tooLarge?.codeName == "callerUsage")
            let answer = try await channel.perform(.call(Call("large", [.integer(4 << 20)])), for: RecordingClient())
            #expect(answer.value == .string(String(repeating: "x", count: 4 << 20)))
            let error = await #expect(throws: ControlError.self) {
                try await channel.perform(.call(Call("large", [.integer(17 << 20)])), for: RecordingClient())
            }
            #expect(error?.codeName == "callerLimitExceeded")
            #expect(try await channel.perform(.ping, for: RecordingClient()) == Answer(.null))
            await channel.close()
        }
    }

    @Test func aRefusedUserLearnsWhy() async throws {
        let sandbox = try SocketSandbox()
        try await sandbox.serving(TestService(refusing: [geteuid()])) { _ in
            let error = await #expect(throws: ControlError.self) { try await sandbox.channel() }
            #expect(error?.codeName == "callerNotAllowed")
            #expect(error?.status == 2)
        }
    }

    @Test func nobodyListening() async throws {
        let sandbox = try SocketSandbox()
        let error = await #expect(throws: ControlError.self) { try await sandbox.channel() }
        #expect(error?.codeName == "storeDaemonUnreachable")
        #expect(error?.status == 2)
        let connector = SocketConnector(path: try SocketPath(sandbox.path))
        #expect(try connector.look() == .nobody)
        try await sandbox.serving { _ in
            let found = try connector.look()
            #expect(found == .somebody)
        }
        #expect(try connector.look() == .nobody)
    }
}
