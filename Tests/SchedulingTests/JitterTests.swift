import KeyModel
import Scheduling
import Testing
import ToolTesting

struct JitterTests {
    private let start = Timestamp(milliseconds: 1_800_000_000_000)

    private func jitter(_ most: Duration = .seconds(3600), instance: String = "one", schedule: String = "nightly")
        throws -> Jitter
    {
        Jitter(most: most, instance: instance, schedule: try Name(schedule))
    }

    @Test func isTheSameEverywhereAndAlways() throws {
        let delay = try jitter().delay(nominal: start, start: start, openingEnd: nil, next: nil)
        #expect(delay == .seconds(2068), "a change moves every schedule of every instance")
        let others = try [jitter(instance: "two"), jitter(schedule: "weekly")].map {
            $0.delay(nominal: start, start: start, openingEnd: nil, next: nil)
        }
        #expect(Set(others + [delay]).count == 3)
    }

    @Test func staysInsideTheOpeningAndShortOfHalfTheWayToTheNext() throws {
        var generator = SeededGenerator()
        for _ in 0..<5000 {
            let jitter = try jitter(.seconds(Int64.random(in: 0...90_000, using: &generator)))
            let nominal = start.advanced(by: .seconds(Int64.random(in: 0...90_000_000, using: &generator)))
            let end = nominal.advanced(by: .milliseconds(Int64.random(in: 1...20_000_000, using: &generator)))
            let next = nominal.advanced(by: .milliseconds(Int64.random(in: 1...200_000_000, using: &generator)))
            let delay = jitter.delay(nominal: nominal, start: nominal, openingEnd: end, next: next)
            #expect(delay >= .zero && delay <= jitter.most, "seed \(generator.seed)")
            #expect(nominal.advanced(by: delay) < end, "seed \(generator.seed)")
            #expect(delay * 2 < max(.milliseconds(1), next.since(nominal)), "seed \(generator.seed)")
        }
    }

    @Test func isSpreadEvenly() throws {
        let jitter = try jitter(.seconds(10))
        var counts = [Int](repeating: 0, count: 10)
        for day in 0..<10_000 {
            let nominal = start.advanced(by: .seconds(Int64(day) * 86_400))
            counts[
                Int(jitter.delay(nominal: nominal, start: nominal, openingEnd: nil, next: nil).components.seconds)] += 1
        }
        #expect(counts.allSatisfy { (850...1150).contains($0) }, "\(counts)")
    }
}
