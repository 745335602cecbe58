internal import KeyModel
internal import Testing
internal import ToolTesting
internal import VectorTesting

struct DurationTextTests {
    private struct Valid: Decodable {
        let text: String
        let seconds: Double
    }

    private struct Invalid: Decodable {
        let text: String
        let reason: String
    }

    @Test func readsEveryTextThatOtherParsersAgreeOn() throws {
        try VectorFile("scheduling/duration.jsonl", of: Valid.self).forEach { entry in
            let milliseconds = Int64((entry.seconds * 1000).rounded())
            let duration = try Duration(parsing: entry.text)
            #expect(duration == .milliseconds(milliseconds), "\(entry.text)")
        }
    }

    @Test func refusesEveryMalformedText() throws {
        try VectorFile("scheduling/duration-invalid.jsonl", of: Invalid.self).forEach { entry in
            #expect(refusal(of: entry.text) == .callerDurationMalformed, "\(quoted(entry.text)): \(entry.reason)")
        }
    }

    @Test(arguments: [
        "36525d1ms", "876601h", "P36526D", "5218w", "9999999999999w", "9999999999999d9999999999999h", "1ms1s", "1mss",
        "P2WT1H", "P1W1D", "PT", "PT1H1H", "PT1M1H", "P1.5D", "PT500MS", "P-1D", "٣d", "1d\u{0301}", "", "w",
        "00000000000001d",
    ])
    func refusesBeyondTheVectors(text: String) {
        #expect(refusal(of: text) == .callerDurationMalformed)
    }

    @Test func allowsExactlyOneHundredYears() throws {
        #expect(try Duration(parsing: "36525d") == .seconds(36525 * 86400))
        #expect(try Duration(parsing: "P36525D").durationText == "36525d")
    }

    @Test func refusalQuotesTheTextAndSaysWhatIsRead() {
        do throws(KeyModelError) {
            _ = try Duration(parsing: "90\u{1B}[2J")
            Issue.record("a control character was read as a duration")
        } catch {
            #expect(error.message == #""90\u{1b}[2J" is no duration"#)
            #expect(error.hint?.contains("36525d") == true)
        }
    }

    @Test(arguments: [
        (Duration.zero, "0s"), (.seconds(90 * 86400), "90d"), (.seconds(129_600), "1d12h"),
        (.milliseconds(61_005), "1m1s5ms"), (.seconds(7 * 86400), "7d"), (.microseconds(1999), "1ms"),
        (.milliseconds(-1500), "-1s500ms"), (.seconds(3600), "1h"),
    ])
    func writesTheShortestForm(duration: Duration, text: String) {
        #expect(duration.durationText == text)
    }

    @Test func everyWrittenDurationIsReadBack() throws {
        var generator = SeededGenerator()
        for _ in 0..<2000 {
            let exponent = Int64.random(in: 0...41, using: &generator)
            let duration = Duration.milliseconds(
                Int64.random(in: 0...min(1 << exponent, 36525 * 86_400_000), using: &generator))
            #expect(try Duration(parsing: duration.durationText) == duration, "seed \(generator.seed)")
        }
    }

    @Test func noBytesOfAnyKindTrap() {
        var generator = SeededGenerator()
        let alphabet = Array("0123456789wdhmsPTWDHMS.-+ µ")
        for _ in 0..<5000 {
            let text = String(
                (0..<Int.random(in: 0...18, using: &generator)).map { _ in
                    alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]
                })
            guard let duration = try? Duration(parsing: text) else { continue }
            #expect(duration >= .zero && duration <= .seconds(36525 * 86400), "\(text), seed \(generator.seed)")
        }
    }

    private func refusal(of text: String) -> KeyModelError.Code? {
        do throws(KeyModelError) {
            _ = try Duration(parsing: text)
            return nil
        } catch {
            return error.code
        }
    }
}
