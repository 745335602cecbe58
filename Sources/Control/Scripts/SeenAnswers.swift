internal import Frames
internal import Synchronization

/// The latest answers that scripts of a session got, so that a value which comes out of Lua as it went in is shown as people
/// read it.
final class SeenAnswers: Sendable {
    private let answers = Mutex<[Answer]>([])

    /// How many are kept.
    private static let most = 8

    /// Keeps an answer that has more than its value.
    func note(_ answer: Answer) {
        guard !answer.blocks.isEmpty else { return }
        let kept = Answer(answer.value.asLuaReturns, answer.blocks)
        answers.withLock { answers in
            answers.append(kept)
            if answers.count > Self.most { answers.removeFirst() }
        }
    }

    /// The answer of a script, with what people read where its value is that of a call.
    func recalled(_ answer: Answer) -> Answer {
        guard answer.blocks.isEmpty, answer.value != .null else { return answer }
        let value = answer.value.asLuaReturns
        let same = answers.withLock { $0.last { $0.value == value } }
        return Answer(answer.value, same?.blocks ?? [], isGood: answer.isGood)
    }
}

extension FrameValue {
    /// The value after its way through Lua, where nothing is no entry and an empty list is an empty table.
    fileprivate var asLuaReturns: FrameValue {
        switch self {
        case .array(let items): items.isEmpty ? [:] : .array(items.map(\.asLuaReturns))
        case .map(let entries): .map(entries.filter { $0.value != .null }.mapValues(\.asLuaReturns))
        default: self
        }
    }
}
