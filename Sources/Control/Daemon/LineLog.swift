package import Foundation
internal import KeyModel
package import Logging
internal import Synchronization

/// A daemon's log: one line an event, for people on a terminal and as JSON for programs.
///
/// Nothing that an event carries can end its line or steer a terminal. What cannot be written is counted and said later.
package struct LineLog: LogHandler {
    /// How a line looks.
    package enum Form: String, CaseIterable, Sendable {
        /// `2026-01-31T12:00:00.000Z info  session opened  peer.uid=0 way=call`
        case text
        /// `{"at":"2026-01-31T12:00:00.000Z","event":"session opened","level":"info","peer.uid":"0","way":"call"}`
        case json
    }

    /// Takes whole lines.
    package final class Output: Sendable {
        private let descriptor: Int32
        private let lost = Mutex(0)

        /// Writes to a descriptor, which stays the caller's.
        package init(_ descriptor: Int32) { self.descriptor = descriptor }

        fileprivate func write(_ line: String) {
            lost.withLock { lost in
                if lost > 0, put("… \(lost) lines of the log could not be written\n") { lost = 0 }
                if !put(line) { lost += 1 }
            }
        }

        private func put(_ line: String) -> Bool {
            var bytes = ArraySlice(line.utf8)
            while !bytes.isEmpty {
                let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return false }
                bytes = bytes.dropFirst(count)
            }
            return true
        }
    }

    /// The least level that is written.
    package var logLevel: Logger.Level
    /// What every event carries.
    package var metadata: Logger.Metadata = [:]
    /// Adds to what every event carries.
    package var metadataProvider: Logger.MetadataProvider?
    private let form: Form
    private let output: Output
    private let now: @Sendable () -> Date

    /// Makes a log.
    package init(
        _ output: Output, form: Form, level: Logger.Level = .info, now: @escaping @Sendable () -> Date = { Date() }
    ) {
        self.output = output
        self.form = form
        self.now = now
        logLevel = level
    }

    /// What every event carries under a name.
    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes an event as one line.
    package func log(event: LogEvent) {
        var all = metadata
        all.merge(metadataProvider?.get() ?? [:]) { _, new in new }
        all.merge(event.metadata ?? [:]) { _, new in new }
        let time = now().formatted(Self.time)
        output.write(
            form == .text
                ? Self.text(time, event.level, "\(event.message)", all)
                : Self.json(time, event.level, "\(event.message)", all))
    }

    private static let time = Date.ISO8601FormatStyle(includingFractionalSeconds: true)

    private static func text(
        _ time: String, _ level: Logger.Level, _ event: String, _ metadata: Logger.Metadata
    ) -> String {
        let name = level.rawValue + String(repeating: " ", count: max(0, 8 - level.rawValue.utf8.count))
        let details = metadata.sorted { $0.key < $1.key }.map { "\(plain($0.key))=\(word("\($0.value)"))" }
        return "\(time) \(name) \(([plain(event)] + details).joined(separator: "  "))\n"
    }

    private static func json(
        _ time: String, _ level: Logger.Level, _ event: String, _ metadata: Logger.Metadata
    ) -> String {
        var members = metadata.mapValues(value)
        members["at"] = time
        members["level"] = level.rawValue
        members["event"] = event
        guard
            let data = try? JSONSerialization.data(
                withJSONObject: members, options: [.sortedKeys, .withoutEscapingSlashes])
        else { return #"{"at":"\#(time)","event":"an event that cannot be written","level":"error"}"# + "\n" }
        return String(decoding: data, as: UTF8.self) + "\n"
    }

    private static func value(_ value: Logger.Metadata.Value) -> Any {
        switch value {
        case .string(let text): text
        case .stringConvertible(let thing): "\(thing)"
        case .array(let values): values.map { Self.value($0) }
        case .dictionary(let values): values.mapValues { Self.value($0) }
        }
    }

    /// A value as one word: quoted where it holds anything but letters, digits and a few signs.
    private static func word(_ text: String) -> String {
        let isPlain =
            !text.isEmpty
            && text.unicodeScalars.allSatisfy {
                $0.properties.isAlphabetic || "0123456789.,:;/_+-@%()".unicodeScalars.contains($0)
            }
        return isPlain ? text : plain(quoted(text))
    }

    /// A text without the characters that could end the line or steer a terminal.
    private static func plain(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory.isPrintable ? $0 : "?" }))
    }
}

extension Unicode.GeneralCategory {
    fileprivate var isPrintable: Bool {
        switch self {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        default: true
        }
    }
}
