import Control
import ControlStore
import Foundation
import Frames
import Testing

struct CallerFilesTests {
    /// A pipe whose ends are closed with the value, save the one that a call takes.
    private final class Pipe {
        var ends: [Int32] = [-1, -1]
        init() throws { try #require(pipe(&ends) == 0) }
        deinit { for end in ends where end >= 0 { close(end) } }

        func handOver(_ end: Int) -> Int32 {
            defer { ends[end] = -1 }
            return ends[end]
        }
    }

    /// A daemon whose log is larger than a pipe holds.
    private func busy() async throws -> (ControlBench, InstanceService) {
        let bench = try await ControlBench()
        let service = try bench.service(.daemon)
        try await service.start()
        let session = try await service.session()
        try await session.call("configuration.load")
        for _ in 0..<100 { _ = await controlError { try await session.call("runs.pause", 99) } }
        return (bench, service)
    }

    @Test func whoReadsNothingKeepsNobodyWaiting() async throws {
        let (bench, service) = try await busy()
        let pipes = try (0..<12).map { _ in try Pipe() }
        var stuck: [(any ControlChannel, Task<ControlError?, Never>)] = []
        for (number, pipe) in pipes.enumerated() {
            let session = try await service.session()
            let isExport = number.isMultiple(of: 2)
            let call = Call(
                isExport ? "audit.export" : "keyrings.import", isExport ? [] : ["main"], confirmation: .given,
                descriptors: [pipe.handOver(isExport ? 1 : 0)])
            stuck.append(
                (
                    session,
                    Task { await controlError { _ = try await session.perform(.call(call), for: ScriptedClient()) } }
                ))
        }
        #expect(try await eventually { try await bench.audit().count { $0.call == "keyrings.import" } == 6 })
        let before = ContinuousClock.now
        _ = try await service.session().perform(.ping, for: ScriptedClient())
        #expect(try await service.session().call("keyrings.list").value.list.count == 1)
        #expect(ContinuousClock.now - before < .seconds(60), "others are served")
        for (session, _) in stuck { await session.close() }
        for (_, task) in stuck { #expect(await task.value?.codeName == "callerInterrupted") }
        await service.stop()
    }

    @Test func whatIsNeverReadyIsGivenUp() async throws {
        let pipe = try Pipe()
        let late = await controlError {
            _ = try await CallerFiles(patience: .milliseconds(100)).readSecret(pipe.ends[0], CallScope())
        }
        #expect(late?.codeName == "callerLimitExceeded" && late?.message.contains("not ready to be read") == true)
    }

    @Test func aPipeIsReadAndWrittenToItsEnd() async throws {
        let (_, service) = try await busy()
        let pipe = try Pipe()
        let reader = pipe.handOver(0)
        let read = Task.detached { FileHandle(fileDescriptor: reader, closeOnDealloc: true).readDataToEndOfFile() }
        let call = Call("audit.export", descriptors: [pipe.handOver(1)])
        let answer = try await service.session().perform(.call(call), for: ScriptedClient())
        let lines = String(decoding: await read.value, as: UTF8.self).split(separator: "\n")
        #expect(lines.count == 202 && answer.value["entries"] == 202, "\(lines.count)")
        await service.stop()
    }

    @Test func aReaderWhoLeavesEndsTheCall() async throws {
        let (_, service) = try await busy()
        let pipe = try Pipe()
        close(pipe.handOver(0))
        let call = Call("audit.export", descriptors: [pipe.handOver(1)])
        let gone = await controlError { _ = try await service.session().perform(.call(call), for: ScriptedClient()) }
        #expect(gone?.codeName == "callerFile" && gone?.message.contains("Broken pipe") == true)
        await service.stop()
    }
}
