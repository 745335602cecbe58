import Foundation
import KeyModel
import Scheduling
import Testing

/// The databases that tests may read: the system's, and those that `KEYTURN_TEST_ZONEINFO` lists, separated by colons.
struct TestZones {
    static let system = Result { try ZoneDatabase() }

    static func zone(_ name: String) throws -> Zone { try system.get().zone(named: name) }

    /// The database of a release; nil where none is installed.
    static func database(ofRelease release: String) throws -> ZoneDatabase? {
        let listed = ProcessInfo.processInfo.environment["KEYTURN_TEST_ZONEINFO"] ?? ""
        let roots = [ZoneDatabase.systemRoot] + listed.split(separator: ":").map(String.init)
        return try roots.lazy.map { try ZoneDatabase(root: $0) }.first { $0.version == release }
    }
}

func instant(_ text: String) throws -> Timestamp { try Timestamp(withOffset: text) }

func schedule(_ expression: String, in zone: String) throws -> CronSchedule {
    CronSchedule(try CronExpression(parsing: expression), in: try TestZones.zone(zone))
}

func failure(_ body: () throws -> some Any) -> SchedulingError? {
    do {
        _ = try body()
        return nil
    } catch {
        return error as? SchedulingError
    }
}
