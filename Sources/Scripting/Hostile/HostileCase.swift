/// A script that wants what it must not have, and how it must end.
package struct HostileCase: Hashable, Sendable {
    /// How the last text must end.
    package enum Ending: Hashable, Sendable {
        /// By itself: the text checks itself and raises where something is wrong.
        case good
        /// By an error that holds one of these words.
        case refused([String])
        /// By a limit, within 250 ms of it.
        case stopped
        /// By itself, by an error or by a limit, but within the limit and 250 ms: what counts is that it ends.
        case ended
    }

    /// Its number, stable.
    package let id: String
    /// What it tries, in a few words.
    package let title: String
    /// The texts, run one after the other in one session.
    package let texts: [String]
    /// How the last of them must end.
    package let ending: Ending

    init(_ id: String, _ title: String, _ ending: Ending, _ texts: String...) {
        self.init(id, title, ending, texts: texts)
    }

    /// Makes a case.
    package init(_ id: String, _ title: String, _ ending: Ending, texts: [String]) {
        self.id = id
        self.title = title
        self.ending = ending
        self.texts = texts
    }

    /// All cases, in the order of their numbers.
    package static let all: [HostileCase] = (endless + greedy + reaching + confusing).sorted { $0.id < $1.id }
}
