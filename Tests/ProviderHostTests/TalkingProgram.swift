internal import Foundation
internal import ToolTesting

/// A program that answers each line with a line, in a process of its own.
final class TalkingProgram: Sendable {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()

    /// Starts one of the tests' programs.
    init(_ name: String, _ arguments: [String]) throws {
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments =
            ["python3", BuiltProgram.folder("Tests/ProviderHostTests/Programs/\(name)").path] + arguments
        process.standardInput = input
        process.standardOutput = output
        try process.run()
    }

    deinit { if process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) } }

    /// The next line that it prints.
    func line() throws -> String {
        var line = Data()
        while let byte = try output.fileHandleForReading.read(upToCount: 1), !byte.isEmpty {
            if byte == Data("\n".utf8) { return String(decoding: line, as: UTF8.self) }
            line += byte
        }
        throw EndToEndError("the program ended")
    }

    /// Says a line and waits for the answer.
    func ask(_ text: String) throws -> String {
        try input.fileHandleForWriting.write(contentsOf: Data((text + "\n").utf8))
        return try line()
    }

    /// Says a line and reads the answer as an object of texts.
    func askObject(_ text: String) throws -> [String: Any] {
        let answer = try ask(text)
        guard let object = try JSONSerialization.jsonObject(with: Data(answer.utf8)) as? [String: Any] else {
            throw EndToEndError("no object: \(answer)")
        }
        return object
    }

    /// Lets go of its standard input and waits until it has ended.
    func end() throws {
        try input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    /// Lets it end, and reads its last line.
    func counts() throws -> String {
        try input.fileHandleForWriting.close()
        return try line()
    }

    /// Ends it at once.
    func kill() {
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }
}
