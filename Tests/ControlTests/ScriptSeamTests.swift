import Control
import ControlStore
import Frames
import KeyModel
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

    /// Plays a script that begins only when a test lets it, and then never ends by itself.
    private struct LateRunner: ScriptEngine, ScriptRunner {
        let isAsked: AsyncStream<Void>.Continuation
        let mayBegin: AsyncStream<Void>

        func makeSession() -> any ScriptRunner { self }
        func run(_ script: Script, api: API, host: any ScriptHost) async throws -> Answer {
            isAsked.finish()
            // Not shortened by a cancellation, as the way to a worker is not.
            await Task { [mayBegin] in for await _ in mayBegin {} }.value
            try await Task.sleep(for: .seconds(600))
            return Answer(.null)
        }
        func cancel() async {}
        func kill() async {}
        func close() async {}
    }

    @Test func aScriptThatIsCancelledBeforeItBeganEnds() async throws {
        let (asked, isAsked) = AsyncStream.makeStream(of: Void.self)
        let (mayBegin, begin) = AsyncStream.makeStream(of: Void.self)
        let service = try (try await ControlBench()).service(scripts: LateRunner(isAsked: isAsked, mayBegin: mayBegin))
        let session = try await service.session()
        let running = Task {
            await controlError {
                _ = try await session.perform(
                    .script(Script("x", name: "t", isInteractive: true)), for: ScriptedClient())
            }
        }
        for await _ in asked {}
        await session.cancel()
        begin.finish()
        #expect(await running.value != nil)
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

struct LuaSessionTests {
    private func commands(_ argv: [String]) async throws -> (ControlBench, any ControlChannel, InstanceService) {
        let bench = try await ControlBench()
        let command = CommandDeclaration(name: try Name("tool"), argv: argv, timeout: .seconds(600))
        bench.configure { $0.commands = [command] }
        let service = try bench.service(scripts: LuaScripts())
        return (bench, try await service.session(.me(.console), interactive: true), service)
    }

    @Test func whatAKilledScriptCalledEndsWithIt() async throws {
        let (bench, session, service) = try await commands(["/bin/sleep", "600"])
        var script = Script("commands.run('tool')", name: "t", isInteractive: true, confirmation: .given)
        script.timeLimit = .seconds(1)
        let error = await controlError { _ = try await session.perform(.script(script), for: ScriptedClient()) }
        #expect(error?.codeName == "callerLimitExceeded", "\(String(describing: error))")
        let isUnknown = try await eventually { try await bench.audit().last?.result == .unknown }
        let log = try await bench.audit().map { "\($0.kind) \($0.call) \($0.detail ?? "")" }
        #expect(isUnknown, "the command was killed, and the log says that its effect is not known: \(log)")
        await service.stop()
    }

    @Test func whatIsTypedInSecretIsNotAudited() async throws {
        let (bench, session, service) = try await commands(["/bin/true"])
        func run(_ text: String) async throws -> ControlError? {
            await controlError {
                _ = try await session.perform(
                    .script(Script(text, name: "t", isInteractive: true, confirmation: .given)),
                    for: ScriptedClient("hunter2"))
            }
        }
        #expect(try await run("kept = secret.prompt('PIN')") == nil)
        _ = try await run("notify.webhook('ops', { text = 'it is ' .. kept, [kept] = { kept } })")
        let log = try await bench.audit()
        #expect(log.last?.call == "notify.webhook")
        #expect(log.contains { $0.arguments.contains("(not recorded)") })
        #expect(log.allSatisfy { !"\($0)".contains("hunter2") })
        let refused = try await run("commands.run('tool', '--password=' .. kept)")
        #expect(refused?.codeName == "callerUsage" && refused?.message.contains("secret.prompt") == true)
        #expect(try await run("commands.run('tool', 'harmless')") == nil)
        await service.stop()
    }

    @Test func whatCanBeCalledSaysSoAsAValue() async throws {
        let service = try (try await ControlBench()).service(scripts: LuaScripts())
        let session = try await service.session(interactive: true)
        func run(_ text: String) async throws -> Answer {
            try await session.perform(
                .script(Script(text, name: "console", isInteractive: true)), for: ScriptedClient())
        }
        #expect(try await run("help").value == "help([name])")
        #expect(try await run("keyrings.show").value == "keyrings.show(name)")
        let space = try await run("keyrings")
        #expect(space.value.list.contains("keyrings.list()") && !space.blocks.isEmpty)
        for name in ["keyrings.show", "keyrings", "status"] {
            let (called, quoted) = (try await run("help(\(name))").value, try await run("help('\(name)')").value)
            #expect(called == quoted, "\(name)")
        }
        #expect(try await run("{ 1, print }").value == [1, "<function>"])
        for (text, hint) in [
            ("rotate('main')", "Did you mean rotations.rotate?"), ("keyrings.lst()", "Did you mean keyrings.list?"),
            ("keyring.list()", "Did you mean keyrings?"), ("stats()", "Did you mean status?"),
            ("keyrings.zzzzzzzz()", "Type keyrings alone to see what there is."),
        ] {
            let error = await controlError { _ = try await run(text) }
            #expect(error?.hint == hint, "\(text): \(String(describing: error))")
        }
        await service.stop()
    }

    @Test func luaCallsTheAPIAndKeepsItsVariables() async throws {
        let bench = try await ControlBench()
        let service = try bench.service(scripts: LuaScripts())
        let session = try await service.session(interactive: true)
        func run(_ text: String, for client: ScriptedClient = ScriptedClient()) async throws -> Answer {
            try await session.perform(.script(Script(text, name: "console", isInteractive: true)), for: client)
        }
        #expect(try await run("status{count = false}.instance").value == "instance-1")
        let listed = try await run("keyrings.list()")
        #expect(!listed.blocks.isEmpty, "what comes out as it went in is shown as people read it")
        _ = try await run("kept = keyrings.list()")
        #expect(try await run("kept").blocks == listed.blocks)
        #expect(try await run("kept[1]").blocks.isEmpty)
        _ = try await run("n = #keyrings.list()")
        #expect(try await run("n").value == 1)
        #expect(try await run("pcall(runs.show, 99)").value.list.first == false)
        let caught = try await run("local ok, e = pcall(runs.show, 99); return e.code")
        #expect(caught.value == "callerNotFound")
        let typed = ScriptedClient("main")
        #expect(try await run("rotations.adopt('secret.value').summary.state", for: typed).value == "done")
        #expect(typed.questions.count == 1)
        let declined = await controlError { _ = try await run("rotations.rotate('main')") }
        #expect(declined?.codeName == "callerNotConfirmed", "\(String(describing: declined))")
        let incomplete = await controlError { _ = try await run("for i = 1, 2 do") }
        #expect(incomplete?.codeName == "callerIncomplete")
        let secret = ScriptedClient("hunter2")
        #expect(try await run("#secret.prompt('PIN')", for: secret).value == 7)
        #expect(secret.questions == [Question("PIN", isSecret: true)])
        let printed = ScriptedClient()
        _ = try await run("print('hello', 1)", for: printed)
        #expect(printed.events == [.output("hello\t1\n")])
        await session.close()
        await service.stop()
    }

    @Test func aScriptIsInterruptedAndTheSessionGoesOn() async throws {
        let bench = try await ControlBench()
        let service = try bench.service(scripts: LuaScripts())
        let session = try await service.session()
        let script = Script("while true do end", name: "t", isInteractive: true)
        let running = Task {
            await controlError { _ = try await session.perform(.script(script), for: ScriptedClient()) }
        }
        try await Task.sleep(for: .milliseconds(500))
        await session.cancel()
        #expect(await running.value?.codeName == "callerInterrupted")
        let next = try await session.perform(
            .script(Script("1 + 1", name: "t", isInteractive: true)), for: ScriptedClient())
        #expect(next.value == 2)
        await session.close()
        await service.stop()
    }
}
