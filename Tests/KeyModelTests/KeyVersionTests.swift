internal import KeyModel
internal import Testing

struct KeyVersionTests {
    private let times = (0...9).map { Timestamp(milliseconds: Int64($0) * 1000) }

    @Test func remembersWhenItFirstSealedAndWhenItStopped() throws {
        var version = try fresh()
        try version.move(to: .active, at: times[1])
        try version.move(to: .suspended, at: times[2])
        #expect(version.deactivatedAt == nil)
        try version.move(to: .active, at: times[3])
        #expect(version.activatedAt == times[1])
        try version.move(to: .deactivated, at: times[4])
        #expect(version.deactivatedAt == times[4])
        try version.move(to: .destroyed, at: times[5])
        #expect((version.activatedAt, version.deactivatedAt) == (times[1], times[4]))
    }

    @Test func compromiseWhileActiveEndsItsUse() throws {
        var version = try fresh()
        try version.move(to: .active, at: times[1])
        try version.move(to: .compromised, at: times[2])
        #expect(version.deactivatedAt == times[2])
    }

    @Test func deactivationFromSuspensionIsTimedOnce() throws {
        var version = try fresh()
        try version.move(to: .active, at: times[1])
        try version.move(to: .suspended, at: times[2])
        try version.move(to: .deactivated, at: times[3])
        try version.move(to: .compromised, at: times[4])
        #expect(version.deactivatedAt == times[3])
    }

    @Test func refusedMoveNamesKeyAndStates() throws {
        var version = try fresh()
        try version.move(to: .active, at: times[1])
        do throws(KeyModelError) {
            try version.move(to: .destroyed, at: times[2])
            Issue.record("an active version was destroyed")
        } catch {
            #expect(error.code == .keyMoveIllegal)
            #expect(error.message == "cannot move key 0000002a from active to destroyed")
        }
        #expect(version.state == .active && version.deactivatedAt == nil)
    }

    @Test(arguments: KeyState.allCases)
    func retiresOnlyWhereItCannotSealAnyMore(state: KeyState) throws {
        var version = KeyVersion(id: try #require(KeyID(42)), state: state, createdAt: times[0])
        do throws(KeyModelError) {
            try version.retire(at: times[1])
            #expect([.deactivated, .compromised].contains(state))
            #expect(version.retiredAt == times[1] && version.state == state)
        } catch {
            #expect(![.deactivated, .compromised].contains(state))
            #expect(error.code == .keyStateForbids && version.retiredAt == nil)
        }
    }

    @Test(arguments: [KeyState.deactivated, .compromised])
    func countsAsUnusedFromALaterTimeOnceValuesReappear(state: KeyState) throws {
        var version = KeyVersion(id: try #require(KeyID(42)), state: state, createdAt: times[0])
        version.reappear(at: times[1])
        #expect(version.retiredAt == nil, "it was not retired")
        try version.retire(at: times[1])
        version.reappear(at: times[2])
        #expect(version.retiredAt == (state == .compromised ? times[2] : nil) && version.state == state)
    }

    private func fresh() throws -> KeyVersion {
        KeyVersion(id: try #require(KeyID(42)), state: .preActivation, createdAt: times[0])
    }
}
