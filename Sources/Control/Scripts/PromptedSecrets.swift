internal import Frames
internal import KeyModel
internal import Synchronization

/// What people typed at `secret.prompt` in a session, so that it is kept out of the audit log and off command lines.
final class PromptedSecrets: Sendable {
    private let values = Mutex<Set<String>>([])

    /// The most that are kept, together in bytes; a session in which more is typed is ended by its person sooner.
    private static let most = 1 << 20
    /// Shorter ones stand in many a text by chance: they count only where they are all of it.
    private static let shortest = 4
    private static let mask = "(not recorded)"

    /// Keeps a value.
    ///
    /// - Throws: ``ControlError`` with `callerLimitExceeded` where no more can be kept.
    func note(_ value: String) throws(ControlError) {
        guard !value.isEmpty else { return }
        let isKept = values.withLock { values in
            guard values.reduce(value.utf8.count, { $0 + $1.utf8.count }) <= Self.most else { return false }
            values.insert(value)
            return true
        }
        guard isKept else {
            throw ControlError(
                .callerLimitExceeded, "more secrets were typed in this session than are remembered",
                hint: "Leave the console and begin another session.")
        }
    }

    /// A text without what was typed.
    func masked(_ text: String) -> String {
        values.withLock { values in
            values.sorted { $0.utf8.count > $1.utf8.count }.reduce(text) { text, value in
                if text == value { return Self.mask }
                return value.utf8.count < Self.shortest ? text : text.replacing(value, with: Self.mask)
            }
        }
    }

    /// A value without what was typed.
    func masked(_ value: FrameValue) -> FrameValue {
        if values.withLock({ $0.isEmpty }) { return value }
        return switch value {
        case .string(let text): .string(masked(text))
        case .binary(let bytes): String(validating: bytes, as: UTF8.self).map { .string(masked($0)) } ?? value
        case .array(let items): .array(items.map(masked))
        case .map(let entries):
            .map(entries.reduce(into: [:]) { $0[masked($1.key)] = masked($1.value) })
        default: value
        }
    }

    /// Whether a value holds something that was typed.
    func stand(in value: FrameValue) -> Bool { masked(value) != value }
}
