internal import ArgumentParser
internal import Control
internal import Foundation
internal import Frames

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

    /// The arguments of a call, the value read from standard input; one line end at its end is not part of it.
    func named(readingValue: Bool) throws -> [String: FrameValue?] {
        var named: [String: FrameValue?] = ["column": .string(column), "key": .texts(key), "base64": .flag(base64)]
        guard readingValue else { return named }
        var bytes = try InputFile("-").read(limit: Self.limit)
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        if base64 {
            guard Data(base64Encoded: Data(bytes)) != nil else {
                throw CommandError(.callerUsage, "standard input is not base64", status: .usage)
            }
            named["value"] = .string(String(decoding: bytes, as: UTF8.self))
        } else {
            // Bytes that are no text travel as bytes.
            named["value"] = String(validating: bytes, as: UTF8.self).map { .string($0) } ?? .binary(bytes)
        }
        return named
    }
}

/// Implements `keyturn seal`.
struct SealCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "seal", abstract: "Seal one value from standard input, for an application.",
        discussion: "Example: printf secret | keyturn seal data_source.password --key 42"
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var arguments: ValueArguments

    func perform(_ caller: Caller) async throws -> Outcome {
        try await caller.outcome("columns.seal", try arguments.named(readingValue: true))
    }
}

/// Implements `keyturn open`.
struct OpenCommand: CallCommand {
    static let configuration = CommandConfiguration(
        commandName: "open", abstract: "Open one value from standard input, or the one that stands in a row.",
        discussion: "Example: keyturn open data_source.password --key 42 --stored"
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var arguments: ValueArguments

    @Flag(name: .long, help: "Open the value that stands in the row.")
    var stored = false

    func perform(_ caller: Caller) async throws -> Outcome {
        var named = try arguments.named(readingValue: !stored)
        named["stored"] = .flag(stored)
        return try await caller.outcome("columns.open", named)
    }
}
