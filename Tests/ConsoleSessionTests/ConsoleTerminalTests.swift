import Foundation
import Testing

/// The console on a pseudo terminal, driven and watched by `console.py`, on the instance of paper.
struct ConsoleTerminalTests {
    @Test(
        arguments: [
            "editing", "wide", "paste", "mebibyte", "resize", "interrupts", "abandoned", "history", "invalid", "colour",
            "dumb", "pipes", "scripts", "hangup", "lost", "dead", "completion", "questions", "ahead", "pager",
            "commands",
            "suspension", "farewell",
        ])
    func consoleDoesWhatAPersonExpects(name: String) throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
        let package = folder.deletingLastPathComponent().deletingLastPathComponent()
        let own = package.appending(path: ".venv/bin/python3").path
        let python = FileManager.default.isExecutableFile(atPath: own) ? own : "python3"
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [
            python, folder.appending(path: "console.py").path, try program(in: package), name,
        ]
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        let said = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(name): \(String(decoding: said, as: UTF8.self))")
    }

    /// `console-double`: beside the test bundle, or where a debug build leaves it.
    private func program(in package: URL) throws -> String {
        for start in CommandLine.arguments.filter({ $0.hasPrefix("/") }) + [Bundle.main.bundlePath] {
            var folder = URL(filePath: start).deletingLastPathComponent()
            while folder.path != "/" {
                let file = folder.appending(path: "console-double").path
                if FileManager.default.isExecutableFile(atPath: file) { return file }
                folder.deleteLastPathComponent()
            }
        }
        return try #require(
            Optional(package.appending(path: ".build/debug/console-double").path)
                .flatMap { FileManager.default.isExecutableFile(atPath: $0) ? $0 : nil })
    }
}
