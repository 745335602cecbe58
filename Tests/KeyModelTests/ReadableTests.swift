internal import KeyModel
internal import Testing

struct ReadableTests {
    @Test(arguments: [
        (0, "0"), (999, "999"), (1000, "1,000"), (12_345, "12,345"), (-1_234_567, "-1,234,567"),
        (Int64.max, "9,223,372,036,854,775,807"), (Int64.min, "-9,223,372,036,854,775,808"),
    ])
    func setsThousandsApart(number: Int64, text: String) {
        #expect(Readable.count(number) == text)
    }

    @Test(arguments: [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1_258_291, "1.2 MiB"),
        (1_048_575, "1.0 MiB"),
        (104_857_600, "100 MiB"), (340 << 30, "340 GiB"), (Int64.max, "8.0 EiB"), (-2048, "-2.0 KiB"),
    ])
    func writesSizesInBinaryUnits(size: Int64, text: String) {
        #expect(Readable.bytes(size) == text)
    }

    @Test(arguments: [
        (Duration.zero, "0 ms"), (.microseconds(400), "0.4 ms"), (.milliseconds(350), "350 ms"),
        (.milliseconds(3200), "3.2 s"),
        (.milliseconds(999), "999 ms"), (.microseconds(999_900), "1.0 s"), (.milliseconds(9990), "10 s"),
        (.seconds(42), "42 s"),
        (.seconds(59.9), "1 min"), (.seconds(190), "3 min 10 s"), (.seconds(180), "3 min"),
        (.seconds(7500), "2 h 5 min"),
        (.seconds(187_200), "2 d 4 h"), (.seconds(86_400 * 1234), "1,234 d"), (.seconds(-90), "-1 min 30 s"),
        (.milliseconds(2), "2.0 ms"), (.milliseconds(12), "12 ms"),
    ])
    func writesDurationsInTheirTwoLargestUnits(duration: Duration, text: String) {
        #expect(Readable.duration(duration) == text)
    }

    @Test(arguments: [
        (0.0, "0.0 rows/s"), (0.44, "0.4 rows/s"), (9.94, "9.9 rows/s"), (9.96, "10 rows/s"), (12_300, "12,300 rows/s"),
    ])
    func writesRates(rate: Double, text: String) {
        #expect(Readable.rate(rate, unit: "rows") == text)
    }

    @Test(arguments: [Double.infinity, 1e300])
    func survivesARateBeyondAllNumbers(rate: Double) {
        #expect(Readable.rate(rate, unit: "rows").hasPrefix("9,223"))
    }
}
