internal import ControlStore

extension Proposal {
    /// SHA-256 over texts, each with its length, so that no two lists give the same bytes.
    static func hash(_ facts: [String]) -> String {
        ContentHash.sha256(facts.flatMap { Array("\($0.utf8.count):\($0)".utf8) })
    }
}
