internal import PluginKit
internal import Testing

struct StoredValueTests {
    @Test(
        arguments: [
            (StoredValue.null, nil, nil), (.text([65]), .text, [65]), (.blob([0]), .blob, [0]),
            (.other("12"), nil, nil),
            (.text([]), .text, []),
        ] as [(StoredValue, ValueForm?, Bytes?)])
    func onlyTextAndBinaryHaveBytesToSeal(value: StoredValue, form: ValueForm?, bytes: Bytes?) {
        #expect(value.form == form && value.bytes == bytes)
    }

    @Test(arguments: [ValueForm.text, .blob])
    func keepsBytesThatAreNoUTF8(form: ValueForm) {
        let value = StoredValue([0xFF, 0x00, 0xFE], as: form)
        #expect(value.bytes == [0xFF, 0x00, 0xFE] && value.form == form)
    }

    @Test func formsAndKindsAreDifferentValues() {
        #expect(Set([StoredValue.text([49]), .blob([49]), .other("1"), .null, .text([])]).count == 5)
    }
}
