internal import KeyModel
internal import Testing

struct KeyStateTests {
    /// Every pair of states that may follow one another, written out apart from the code that decides it.
    private static let legal: Set<String> = [
        "preActivation active", "preActivation compromised", "preActivation destroyed",
        "active suspended", "active deactivated", "active compromised",
        "suspended active", "suspended deactivated", "suspended compromised", "suspended destroyed",
        "deactivated compromised", "deactivated destroyed",
        "compromised destroyed",
    ]

    @Test(arguments: KeyState.allCases, KeyState.allCases)
    func movesExactlyAsTheTableSays(from: KeyState, to: KeyState) throws {
        let isLegal = Self.legal.contains("\(from.rawValue) \(to.rawValue)")
        #expect(from.legalMoves.contains(to) == isLegal)
        var version = try version(in: from)
        guard !isLegal else {
            try version.move(to: to, at: Timestamp(milliseconds: 5))
            #expect(version.state == to)
            return
        }
        #expect(throws: KeyModelError.self) { try version.move(to: to, at: Timestamp(milliseconds: 5)) }
        #expect(version.state == from)
    }

    @Test(arguments: KeyState.allCases)
    func onlyActiveSeals(state: KeyState) {
        #expect(state.maySeal == (state == .active))
    }

    @Test(arguments: KeyState.allCases)
    func activeAndDeactivatedOpenAndCompromisedOnlyForARewrite(state: KeyState) {
        #expect(state.mayOpen == [.active, .deactivated].contains(state))
        #expect(state.mayOpenForRewrite == [.active, .deactivated, .compromised].contains(state))
    }

    @Test func activeCannotGoStraightToDestroyed() {
        #expect(!KeyState.active.legalMoves.contains(.destroyed))
    }

    @Test func destroyedIsFinal() {
        #expect(KeyState.destroyed.legalMoves.isEmpty)
    }

    @Test func statesAreTheSixOfTheStandard() {
        #expect(
            KeyState.allCases.map(\.rawValue) == [
                "preActivation", "active", "suspended", "deactivated", "compromised", "destroyed",
            ])
    }

    private func version(in state: KeyState) throws -> KeyVersion {
        KeyVersion(id: try #require(KeyID(1)), state: state, createdAt: Timestamp(milliseconds: 0))
    }
}
