internal import ArgumentParser
internal import Foundation
internal import KeyModel
internal import PluginKit
internal import Rotation
internal import Storage

/// Which value of which column is meant, and where it comes from.
struct ValueArguments: ParsableArguments {
    @Argument(help: "The column, table.column.")
    var column: String

    @Option(name: .long, help: "The key of the row, once for each key column; needed where values are bound to rows.")
    var key: [String] = []

    @Flag(name: .long, help: "The value comes and goes in base64.")
    var base64 = false

    /// The most bytes of a value.
    static let limit = 64 << 20

    /// Reads the value from standard input; one line end at its end is not part of it.
    func read() throws -> Bytes {
        var bytes = try InputFile("-").read(limit: Self.limit)
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        guard base64 else { return bytes }
        guard let decoded = Data(base64Encoded: Data(bytes)) else {
            throw CommandError(.callerUsage, "standard input is not base64", status: .usage)
        }
        return Bytes(decoded)
    }

    /// The value as it is printed: as text where it is valid UTF-8, in base64 otherwise or on request.
    func report(_ bytes: Bytes) -> Report {
        let text = base64 ? nil : String(validating: bytes, as: UTF8.self)
        let shown = text ?? Data(bytes).base64EncodedString()
        return Report(["value": shown, "encoding": text == nil ? "base64" : "utf-8"], [.lines([shown])])
    }
}

/// Implements `keyturn seal`.
struct SealCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "seal", abstract: "Seal one value from standard input, for an application.",
        discussion: "Example: printf secret | keyturn seal data_source.password --key 42"
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var arguments: ValueArguments

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        let sealed = try await instance.engine.seal(
            try arguments.read(), column: try ColumnPath(arguments.column), row: arguments.key
        )
        return Outcome(arguments.report(sealed.bytes ?? []))
    }
}

/// Implements `keyturn open`.
struct OpenCommand: InstanceCommand {
    static let configuration = CommandConfiguration(
        commandName: "open", abstract: "Open one value from standard input, or the one that stands in a row.",
        discussion: "Example: keyturn open data_source.password --key 42 --stored"
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var arguments: ValueArguments

    @Flag(name: .long, help: "Open the value that stands in the row.")
    var stored = false

    func perform(_ console: Console, _ interrupt: Interrupt) async throws -> Outcome {
        let instance = try await OpenInstance.open(try global.directory(), appliesConfiguration: false)
        let column = try ColumnPath(arguments.column)
        guard stored else {
            let opened = try await instance.engine.open(try arguments.read(), column: column, row: arguments.key)
            return Outcome(arguments.report(opened.plaintext))
        }
        guard let opened = try await instance.engine.openStored(column: column, row: arguments.key) else {
            return Outcome(Report([String: String](), [.lines(["null"])]))
        }
        return Outcome(arguments.report(opened.plaintext))
    }
}
