internal import ControlStore
internal import KeyModel
internal import PluginKit
internal import Storage
internal import Testing

@testable internal import Rotation

struct ColumnCipherTests {
    private let old: KeyID
    private let new: KeyID
    private let stranger: KeyID

    init() throws {
        old = try #require(KeyID(0x11))
        new = try #require(KeyID(0x22))
        stranger = try #require(KeyID(0x33))
    }

    /// What a stored value can be.
    enum Stored: CaseIterable, Sendable {
        case null, empty, number, plaintext, foreign, underActive, underOld, underStranger, misplaced
    }

    @Test(arguments: ColumnDeclaration.PlaintextPolicy.allCases, [false, true])
    func decidesEachKindOfValueByPolicyAndScope(policy: ColumnDeclaration.PlaintextPolicy, isAdopting: Bool) throws {
        for hint in ["none", "exact", "candidates"] {
            for sets in [false, true] {
                for form in [ValueForm.text, .blob] {
                    let cipher = try cipher(
                        policy: policy, isAdopting: isAdopting, sets: sets, options: ["hint": hint])
                    for isMatching in [true, false] {
                        for stored in Stored.allCases {
                            let row = row(7, value(stored, row: 7, form: form), isMatching: isMatching)
                            let expected = expectation(stored, policy, isAdopting, sets, isMatching)
                            #expect(
                                describe(cipher.outcomes(of: [row]).first) == expected,
                                "\(stored) \(policy) adopting \(isAdopting) sets \(sets) matching \(isMatching) \(hint)"
                            )
                        }
                    }
                }
            }
        }
    }

    private func expectation(
        _ stored: Stored, _ policy: ColumnDeclaration.PlaintextPolicy, _ isAdopting: Bool, _ sets: Bool,
        _ isMatching: Bool
    ) -> String {
        switch stored {
        case .null, .empty, .underActive: return "keep"
        case .foreign: return isMatching ? "dataForeign" : "keep"
        case .underOld: return isMatching ? "reseal" : "keep"
        case .underStranger: return isMatching ? "dataUnknownKey" : "keep"
        case .misplaced: return isMatching ? "dataContextMismatch" : "keep"
        case .number, .plaintext:
            // Only adoption that marks what it seals looks at rows that are not picked.
            guard isMatching || isAdopting && sets else { return "keep" }
            switch isAdopting ? .seal : policy {
            case .keep: return "keep"
            case .refuse: return "dataPlaintext"
            case .seal: return stored == .number ? "dataNotText" : sets ? "adopt" : "reseal"
            }
        }
    }

    @Test func looksBeyondThePickedRowsOnlyWhenAdoptionMarksThem() throws {
        #expect(try cipher(isAdopting: true, sets: true).scope == .all)
        #expect(try cipher(isAdopting: true, sets: false).scope == .matching)
        #expect(try cipher(isAdopting: false, sets: true).scope == .matching)
    }

    @Test(arguments: ["flips", "cuts", "misplaces", "old key", "garbage", "clear", "forgets"])
    func aCoreThatSealsWronglyIsCaughtBeforeAnythingIsWritten(fault: String) throws {
        let cipher = try cipher(options: ["fault": fault])
        let sealed = PlainItem(Bytes("secret".utf8), context: place(1), form: .text, isDeterministic: true)
        let row = row(1, .text(Bytes(DoubleCore.text(sealed, key: old).utf8)))
        #expect(describe(cipher.outcomes(of: [row]).first) == "internalReadBackDiffers")
    }

    @Test func aValueThatCannotBeSealedIsQuarantinedAlone() throws {
        let cipher = try cipher(policy: .seal)
        let rows = [
            row(1, .text(Bytes("short".utf8))), row(2, .text(Bytes(repeating: 0x61, count: 100))),
            row(3, .text(Bytes("also short".utf8))),
        ]
        #expect(cipher.outcomes(of: rows).map(describe) == ["reseal", "dataTooLarge", "reseal"])
    }

    @Test func whatIsWrittenOpensUnderTheActiveKeyAtItsOwnRowOnly() throws {
        let cipher = try cipher(policy: .seal)
        let outcomes = cipher.outcomes(of: (1...3).map { row($0, .text(Bytes("value \($0)".utf8))) })
        let core = try DoubleCore(options: [:], keys: [material(new)])
        for (number, outcome) in zip(1..., outcomes) {
            guard case .replace(let value, _) = outcome else {
                Issue.record("row \(number): \(outcome)")
                continue
            }
            #expect(try core.open([SealedItem(value, context: place(number))]).first?.get().key == new)
            let elsewhere = core.open([SealedItem(value, context: place(number + 1))]).first
            #expect(elsewhere == .failure(.contextMismatch))
        }
    }

    @Test(arguments: [true, false])
    func deterministicValuesStayDeterministic(isDeterministic: Bool) throws {
        let item = PlainItem(Bytes("x".utf8), context: place(1), form: .blob, isDeterministic: isDeterministic)
        let row = row(1, .blob(Bytes(DoubleCore.text(item, key: old).utf8)))
        guard case .replace(let value, _) = try cipher().outcomes(of: [row])[0] else {
            Issue.record("not replaced")
            return
        }
        let opened = try DoubleCore(options: [:], keys: [material(new)]).open([SealedItem(value, context: place(1))])[0]
        #expect(try opened.get().isDeterministic == isDeterministic)
        #expect(value.form == .blob)
    }

    @Test func outcomesKeepTheOrderOfTheirRows() throws {
        let stored: [Stored] = [
            .underOld, .plaintext, .foreign, .underOld, .null, .underStranger, .underActive, .underOld,
        ]
        let rows = stored.enumerated().map { row($0 + 1, value($1, row: $0 + 1, form: .text)) }
        let expected = ["reseal", "dataPlaintext", "dataForeign", "reseal", "keep", "dataUnknownKey", "keep", "reseal"]
        #expect(try cipher().outcomes(of: rows).map(describe) == expected)
    }
}

extension ColumnCipherTests {
    private func material(_ id: KeyID) -> KeyMaterial {
        KeyMaterial(id: id, secret: SecretBytes(copying: Bytes(0..<8)))
    }

    private func place(_ row: Int) -> ValueContext {
        .row(namespace: "test", name: "secret.value", key: [Bytes(String(row).utf8)])
    }

    private func row(_ number: Int, _ value: StoredValue, isMatching: Bool = true) -> StoredRow {
        StoredRow(key: RowKey([.integer(Int64(number))]), value: value, isMatching: isMatching)
    }

    private func value(_ stored: Stored, row: Int, form: ValueForm) -> StoredValue {
        func sealed(_ key: KeyID, at place: ValueContext) -> StoredValue {
            let item = PlainItem(Bytes("secret".utf8), context: place, form: form)
            return StoredValue(Bytes(DoubleCore.text(item, key: key).utf8), as: form)
        }
        return switch stored {
        case .null: .null
        case .empty: StoredValue([], as: form)
        case .number: .other("12")
        case .plaintext: StoredValue(Bytes("secret".utf8), as: form)
        case .foreign: StoredValue(Bytes("bad.x".utf8), as: form)
        case .underActive: sealed(new, at: place(row))
        case .underOld: sealed(old, at: place(row))
        case .underStranger: sealed(stranger, at: place(row))
        case .misplaced: sealed(old, at: place(row + 1))
        }
    }

    private func cipher(
        policy: ColumnDeclaration.PlaintextPolicy = .refuse, isAdopting: Bool = false, sets: Bool = false,
        options: CoreOptions = [:]
    ) throws -> ColumnCipher {
        let declaration = ColumnDeclaration(
            path: try ColumnPath("secret.value"), keyring: .main, key: ["id"], context: .row, predicate: "is_sealed",
            plaintext: policy,
            assignments: sets ? [ColumnTarget.Assignment(column: "is_sealed", value: .integer(1))] : [])
        let column = ColumnRecord(
            id: 1, logicalName: "secret.value", declaration: declaration, isDeclared: true, isFenced: false)
        let time = Timestamp(milliseconds: 0)
        let versions = [
            KeyVersion(id: old, state: .deactivated, createdAt: time),
            KeyVersion(id: new, state: .active, createdAt: time),
        ]
        let ring = try Keyring(name: .main, core: "double", policy: KeyringPolicy(), versions: versions)
        let record = KeyringRecord(
            keyring: ring, options: options, provider: try Name("local"), consumers: [], isDeclared: true)
        let core = try DoubleCore(options: options, keys: [material(new), material(old)])
        let opened = OpenedKeyring(record: record, descriptor: DoubleCore.descriptor, core: core, activeCore: core)
        return try ColumnCipher(
            column: column, keyring: opened, namespace: "test", isAdopting: isAdopting, readsBack: false)
    }

    private func describe(_ outcome: ColumnCipher.Outcome?) -> String {
        switch outcome {
        case .keep: "keep"
        case .replace(_, let setsAssignments): setsAssignments ? "adopt" : "reseal"
        case .quarantine(let reason): reason
        case nil: "nothing"
        }
    }
}
