package import KeyModel

/// A time zone: which offset from UTC is in force when, from the database's table and, after its end, from its rule.
///
/// A value; when the database is updated, whoever holds it loads it again and sees by ``databaseVersion`` that
/// it changed.
package struct Zone: Hashable, Sendable {
    /// The name in the database, such as `Europe/Berlin`.
    package let name: String
    /// The release of the database that it was read from, such as `2025b`.
    package let databaseVersion: String

    let table: ZoneTable

    /// Reads the bytes of a TZif file.
    ///
    /// - Throws: ``SchedulingError`` with `dataZoneMalformed`.
    package init(name: String, databaseVersion: String, file: [UInt8]) throws(SchedulingError) {
        self.name = name
        self.databaseVersion = databaseVersion
        do {
            table = try ZoneTable(file: file)
        } catch {
            throw SchedulingError(
                .dataZoneMalformed, "the file of zone \(quoted(name)) cannot be used: \(error.reason)",
                hint: "Install the time zone database anew (Debian: tzdata)."
            )
        }
    }

    /// UTC, which needs no database.
    package static let utc = Zone(utc: ())

    private init(utc: Void) {
        name = "UTC"
        databaseVersion = "none"
        table = ZoneTable(fixedOffset: 0)
    }

    /// The time on the wall at an instant.
    package func local(at instant: Timestamp) -> LocalTime {
        LocalTime(seconds: instant.seconds + offset(at: instant))
    }

    /// Seconds ahead of UTC at an instant.
    package func offset(at instant: Timestamp) -> Int { table.segment(at: instant.seconds).offset }

    /// An instant as ISO 8601 with the zone's offset, `2027-03-28T03:00:00+02:00`.
    package func text(_ instant: Timestamp) -> String {
        let offset = offset(at: instant)
        let magnitude = abs(offset)
        let seconds = magnitude % 60 == 0 ? "" : ":\(padded(magnitude % 60))"
        let sign = offset < 0 ? "-" : "+"
        return "\(local(at: instant))\(sign)\(padded(magnitude / 3600)):\(padded(magnitude / 60 % 60))\(seconds)"
    }
}
