internal import KeyModel
internal import Testing

struct KeyringTests {
    @Test func refusesTwoActiveVersions() throws {
        #expect(try refusal([version(1, .active), version(2, .active)]) == .keyringInconsistent)
    }

    @Test func refusesOneIDTwice() throws {
        #expect(try refusal([version(1, .active), version(1, .deactivated)]) == .keyringInconsistent)
    }

    @Test func findsItsActiveVersionAndEachByID() throws {
        let ring = try keyring([
            version(9, .active, at: 3), version(5, .deactivated, at: 2), version(7, .destroyed, at: 1),
        ])
        #expect(ring.active?.id == KeyID(9))
        #expect(try ring[#require(KeyID(5))]?.state == .deactivated)
        #expect(try ring[#require(KeyID(6))] == nil)
    }

    @Test func ordersByAgeThenByID() throws {
        let ring = try keyring([
            version(3, .active, at: 2), version(8, .deactivated, at: 1), version(4, .deactivated, at: 1),
        ])
        #expect(ring.versions.map(\.id.rawValue) == [4, 8, 3])
    }

    @Test func mayBeEmptyOrWithoutAnActiveVersion() throws {
        #expect(try keyring([]).active == nil)
        #expect(try keyring([version(1, .suspended)]).active == nil)
    }

    private func version(_ id: UInt32, _ state: KeyState, at second: Int64 = 0) throws -> KeyVersion {
        KeyVersion(id: try #require(KeyID(id)), state: state, createdAt: Timestamp(milliseconds: second * 1000))
    }

    private func keyring(_ versions: [KeyVersion]) throws -> Keyring {
        try Keyring(name: Name("main"), core: "kr1", policy: KeyringPolicy(), versions: versions)
    }

    private func refusal(_ versions: [KeyVersion]) throws -> KeyModelError.Code? {
        do {
            _ = try keyring(versions)
            return nil
        } catch let error as KeyModelError {
            return error.code
        }
    }
}
