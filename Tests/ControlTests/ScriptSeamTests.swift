import Control
import Frames
import Scripting
import Testing

struct ScriptSeamTests {
    /// Plays a script that calls what it is told to and prints the answer.
    private struct FakeEngine: ScriptEngine {
        func makeSession() -> any ScriptRunner { FakeRunner() }
    }

    private struct FakeRunner: ScriptRunner {
        func run(_ script: Script, api: API, host: any ScriptHost) async throws -> Answer {
            await host.output("calling \(script.text)\n")
            return Answer(try await host.call(script.text, script.arguments.map { .string($0) }))
        }
        func cancel() async {}
        func kill() async {}
        func close() async {}
    }

    @Test func aScriptCallsUnderTheRightsOfItsSession() async throws {
        let bench = try await ControlBench()
        let service = try bench.service(scripts: FakeEngine())
        let session = try await service.session()
        let client = ScriptedClient()
        let script = Script(
            "rotations.adopt", name: "t", isInteractive: false, arguments: ["secret.value"], confirmation: .given)
        let answer = try await session.perform(.script(script), for: client)
        #expect(answer.value["summary"]?["state"] == "done")
        #expect(client.events.first == .output("calling rotations.adopt\n"))
        let unconfirmed = Script("rotations.rotate", name: "t", isInteractive: false, arguments: ["main"])
        let refused = await controlError { _ = try await session.perform(.script(unconfirmed), for: client) }
        #expect(refused?.codeName == "callerNotConfirmed")
        let other = try await service.session(.other("eve"))
        let denied = await controlError { _ = try await other.perform(.script(script), for: client) }
        #expect(denied?.codeName == "callerNotAllowed")
        await service.stop()
    }

    @Test func withoutAnEngineScriptsAreRefusedClearly() async throws {
        let bench = try await ControlBench()
        let service = try bench.service()
        let error = await controlError {
            _ = try await service.session().perform(
                .script(Script("1", name: "t", isInteractive: true)), for: ScriptedClient())
        }
        #expect(error?.codeName == "callerScriptFailed" && error?.hint != nil)
        await service.stop()
    }
}
