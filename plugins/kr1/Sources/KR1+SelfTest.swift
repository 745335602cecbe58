internal import KeyModel
public import PluginKit

extension KR1 {
    /// Opens values that another implementation sealed, seals one of them again, and refuses
    /// damaged ones.
    public static func selfTest() throws(CoreError) {
        for answer in KnownAnswer.all { try answer.check() }
    }
}

/// A value sealed by the Python reference of the format.
private struct KnownAnswer {
    let name: String
    let id: UInt32
    let key: String
    let value: String
    let form: ValueForm
    let context: ValueContext
    let plaintext: String
    var attributes = ValueAttributes()
    var isDeterministic = false

    static let all = [
        KnownAnswer(
            name: "row", id: 7, key: "ObBwSzT1Ql52svsHcTt6kOUJmRrl9Q+hTwZvt7YmRQU=",
            value: "+QEEAgAAAAczma8UMOrnv6NihMPtySp3pXdT9a/fkqbcoAMjFQlfmqZDiYD7+/VrMPi8"
                + "yLsUSPWiBcVkR5A5umSYyUP4jjGC2kgE7iqKpFSCN9M=",
            form: .blob, context: row, plaintext: "hello world", attributes: ValueAttributes(isText: true)
        ),
        KnownAnswer(
            name: "text form", id: 7, key: "ObBwSzT1Ql52svsHcTt6kOUJmRrl9Q+hTwZvt7YmRQU=",
            value:
                "kr1.00000007.AQACAYm7whESEIAvbTjgtgStZrw_k68peDwjsnAREziX"
                + "66Ofr1PNlb6r9Jw9q2oTsaxqkV9oqVG7xTxEzZeUiOcbBw",
            form: .text, context: row, plaintext: ""
        ),
        KnownAnswer(
            name: "no context", id: 7, key: "ObBwSzT1Ql52svsHcTt6kOUJmRrl9Q+hTwZvt7YmRQU=",
            value: "+QEAAAAAAAdaYIvxnLFNlSAd+kDVBbc+cXruztfp4jYT6Gx2PMXNBOtzL/VBtF8+DoAn"
                + "nV+57Dfr7ybJQaK8/IL/Ispp0ZhQ",
            form: .blob, context: .none, plaintext: ""
        ),
        KnownAnswer(
            name: "deterministic", id: 42, key: "DMGnd4Syl6pSzEcJR4YzPX6tn5xI5G36eufuDhlOUwM=",
            value: "+QECAQAAACqVt9KB1tfe6fhzbj5CehDWYB+EKzn5PNg6j748JMUon/fURdB1D5KL/SSD"
                + "nw7+26m72KrM51NEk3OPclA7g231f7VEsuQKJLB6J5A=",
            form: .blob, context: .column(namespace: "app", name: "users.email"), plaintext: "hello world",
            isDeterministic: true
        ),
    ]

    private static let row = ValueContext.row(namespace: "app", name: "users.email", key: [Bytes("42".utf8)])

    func check() throws(CoreError) {
        guard let id = KeyID(id), let stored else { throw failure("is not readable") }
        let material = KeyMaterial(
            id: id, secret: try KR1.importMaterial(SecretBytes(copying: Bytes(key.utf8)), options: [:]))
        let core = try KR1(options: [:], keys: [material])
        let expected = OpenedValue(
            plaintext: Bytes(plaintext.utf8), key: id, attributes: attributes, isDeterministic: isDeterministic)
        guard core.open([SealedItem(stored, context: context)]) == [.success(expected)] else {
            throw failure("does not open")
        }
        try checkSealing(core, id: id, stored: stored)
        try checkDamage(core, stored: stored)
    }

    private var stored: StoredValue? {
        switch form {
        case .text: .text(Bytes(value.utf8))
        case .blob: Base64.decode(Bytes(value.utf8), alphabet: .standard, padding: .padded).map(StoredValue.blob)
        }
    }

    private func checkSealing(_ core: KR1, id: KeyID, stored: StoredValue) throws(CoreError) {
        let item = PlainItem(
            Bytes(plaintext.utf8), context: context, attributes: attributes, form: form,
            isDeterministic: isDeterministic)
        guard case .success(let sealed) = core.seal([item], with: id)[0] else { throw failure("is not sealed again") }
        guard (sealed == stored) == isDeterministic else { throw failure("is sealed to the wrong value") }
        guard case .success = core.open([SealedItem(sealed, context: context)])[0] else {
            throw failure("does not open after sealing")
        }
    }

    private func checkDamage(_ core: KR1, stored: StoredValue) throws(CoreError) {
        var bytes = stored.bytes ?? []
        bytes[bytes.count - 2] ^= 1
        guard case .failure = core.open([SealedItem(StoredValue(bytes, as: form), context: context)])[0],
            case .failure = core.open([SealedItem(stored, context: .caller([]))])[0]
        else { throw failure("opens though it was changed or moved") }
    }

    private func failure(_ what: String) -> CoreError {
        CoreError(
            .internalSelfTestFailed, "kr1 failed its known answer \"\(name)\": it \(what)",
            hint: "Do not use this build; libcrypto or the machine may be at fault."
        )
    }
}
