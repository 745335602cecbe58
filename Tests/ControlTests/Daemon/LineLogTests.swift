import Control
import Foundation
import Logging
import Testing

/// The lines of a daemon's log.
struct LineLogTests {
    /// What is logged through a pipe.
    private func lines(
        _ form: LineLog.Form, level: Logger.Level = .info, _ body: (Logger) -> Void
    ) throws -> String {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        let log = LineLog(.init(ends[1]), form: form, level: level) { Date(timeIntervalSince1970: 0.5) }
        body(Logger(label: "test") { _ in log })
        close(ends[1])
        defer { close(ends[0]) }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = read(ends[0], &bytes, bytes.count)
        return String(decoding: bytes[..<max(0, count)], as: UTF8.self)
    }

    @Test func textIsALineWithDetailsInOrder() throws {
        let line = try lines(.text) { $0.info("run resumed", metadata: ["run.id": "7", "by": "a b", "at": "x=1"]) }
        #expect(line == "1970-01-01T00:00:00.500Z info     run resumed  at=\"x=1\"  by=\"a b\"  run.id=7\n")
    }

    @Test func jsonIsOneObjectALine() throws {
        let text = try lines(.json) {
            $0.error("x", metadata: ["list": ["a", .stringConvertible(2)], "map": ["k": "v"], "level": "fake"])
        }
        #expect(
            text == #"{"at":"1970-01-01T00:00:00.500Z","event":"x","level":"error","list":["a","2"],"map":{"k":"v"}}"#
                + "\n")
    }

    @Test(arguments: LineLog.Form.allCases)
    func nothingEndsItsLineOrSteersATerminal(form: LineLog.Form) throws {
        let nasty = "a\nb\r\u{1B}]0;x\u{7}\u{2028}\u{202E}\u{0}\u{9B}31m"
        let text = try lines(form) { $0.info("\(nasty)", metadata: ["\(nasty)": "\(nasty)", "k": ["\(nasty)"]]) }
        #expect(text.split(separator: "\n").count == 1)
        let controls = text.dropLast().unicodeScalars.filter { $0.value < 0x20 || $0.value == 0x7F }
        #expect(controls.isEmpty)
        if form == .text { #expect(!text.unicodeScalars.contains { [0x9B, 0x2028, 0x202E].contains($0.value) }) }
    }

    @Test func whatIsBelowTheLevelIsNotWritten() throws {
        let text = try lines(.text, level: .warning) {
            $0.info("quiet")
            $0.warning("loud")
        }
        #expect(!text.contains("quiet") && text.contains("loud"))
    }

    @Test func whatCannotBeWrittenIsCounted() throws {
        var ends: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
        let log = Logger(label: "test") { _ in LineLog(.init(ends[1]), form: .text) }
        for _ in 0..<3000 { log.info("\(String(repeating: "x", count: 100))") }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        _ = read(ends[0], &bytes, bytes.count)
        log.info("back")
        let count = read(ends[0], &bytes, bytes.count)
        let text = String(decoding: bytes[..<max(0, count)], as: UTF8.self)
        #expect(text.contains("lines of the log could not be written") && text.contains("back"))
        ends.forEach { close($0) }
    }
}
