import KeyModel
import Scheduling
import Testing
import VectorTesting

struct ZoneNameTests {
    private struct Invalid: Decodable {
        let tz: String
        let reason: String
    }

    @Test func refusesEveryNameThatIsNoPlace() throws {
        let database = try TestZones.system.get()
        try VectorFile("scheduling/tz-invalid.jsonl", of: Invalid.self).forEach { entry in
            let error = failure { try database.zone(named: entry.tz) }
            #expect(error?.code == .callerZoneUnknown, "\(quoted(entry.tz)): \(entry.reason)")
        }
    }
}
