internal import Glibc
internal import KeyModel

/// The time zone database: which names there are, in which release, and how a zone is read.
///
/// A value of the moment at which it was opened. Reloading is the caller's affair: open it again and compare
/// ``version``.
package struct ZoneDatabase: Sendable {
    /// Where the system keeps it.
    package static let systemRoot = "/usr/share/zoneinfo"

    /// The release, such as `2025b`; `unknown` where nothing names it.
    package let version: String
    /// The names that schedules may use, as the database spells them.
    package let names: Set<String>

    private let source: any ZoneSource

    /// Opens a database in a directory.
    ///
    /// - Throws: ``SchedulingError`` with `storeZonesUnavailable`.
    package init(root: String = Self.systemRoot) throws(SchedulingError) {
        try self.init(source: ZoneDirectory(root: root))
    }

    /// Opens the database that `KEYTURN_ZONEINFO` names, else the system's.
    ///
    /// - Throws: ``SchedulingError`` with `storeZonesUnavailable`.
    package static func configured() throws(SchedulingError) -> ZoneDatabase {
        try ZoneDatabase(root: getenv("KEYTURN_ZONEINFO").map { String(cString: $0) } ?? systemRoot)
    }

    /// Opens a database from wherever its files come.
    ///
    /// The index is `tzdata.zi`, in which the database itself lists its zones and links. Where a system leaves
    /// that out, `zone1970.tab` and `zone.tab`, and `backward` where it is there, name the geographical zones.
    ///
    /// - Throws: ``SchedulingError`` with `storeZonesUnavailable`.
    package init(source: any ZoneSource) throws(SchedulingError) {
        self.source = source
        let index =
            if let text = try source.contents(of: "tzdata.zi", limit: Self.largestIndex) {
                ZoneIndex(compact: text)
            } else {
                ZoneIndex(
                    tables: try Self.contents(of: ["zone1970.tab", "zone.tab"], in: source),
                    backward: try Self.contents(of: ["backward"], in: source).first ?? [],
                    version: try Self.contents(of: ["+VERSION"], in: source).first ?? [])
            }
        guard !index.names.isEmpty else {
            throw SchedulingError(
                .storeZonesUnavailable, "there is no time zone database in \(source.place)",
                hint: "Install it (Debian: tzdata), or name its directory in KEYTURN_ZONEINFO."
            )
        }
        names = index.names.subtracting(Self.refused.keys)
        version = index.version ?? "unknown"
    }

    /// Reads a zone by its exact name.
    ///
    /// - Throws: ``SchedulingError`` with `callerZoneUnknown`, `dataZoneMalformed` or `storeZonesUnavailable`.
    package func zone(named name: String) throws(SchedulingError) -> Zone {
        guard name.utf8.allSatisfy({ $0 < 0x80 }), names.contains(name) else { throw unknown(name) }
        guard let file = try source.contents(of: name, limit: ZoneTable.largestFile) else {
            throw SchedulingError(
                .storeZonesUnavailable,
                "zone \(quoted(name)) is in the index of \(source.place), but its file is missing",
                hint: "Install the time zone database anew (Debian: tzdata and, where there is one, tzdata-legacy)."
            )
        }
        return try Zone(name: name, databaseVersion: version, file: file)
    }

    private static let largestIndex = 4 << 20

    /// Names that the database has, but that do not say what whoever writes them means.
    private static let refused = [
        "EST": "America/New_York", "MST": "America/Denver", "HST": "Pacific/Honolulu", "CET": "Europe/Berlin",
        "MET": "Europe/Berlin", "EET": "Europe/Athens", "WET": "Europe/Lisbon", "Factory": "UTC",
    ]

    private static func contents(
        of names: [String], in source: any ZoneSource
    ) throws(SchedulingError) -> [[UInt8]] {
        var result: [[UInt8]] = []
        for name in names {
            if let text = try source.contents(of: name, limit: largestIndex) { result.append(text) }
        }
        return result
    }

    /// Whether a name stands for no place whatever a database holds, such as `CET`.
    package static func isNoPlace(_ name: String) -> Bool { refused[name] != nil }

    private func unknown(_ name: String) -> SchedulingError {
        if let meant = Self.refused[name] {
            return SchedulingError(
                .callerZoneUnknown, "\(quoted(name)) is no place: abbreviations do not say when clocks change",
                hint: "Name a place, such as \(meant)."
            )
        }
        let place = name.hasPrefix("posix/") || name.hasPrefix("right/") ? String(name.dropFirst(6)) : name
        let near = names.contains(place) ? place : nearest(to: place, among: names)
        let advice =
            near.map { "Did you mean \(quoted($0))?" } ?? "Name it as the database does, such as Europe/Berlin or UTC."
        return SchedulingError(
            .callerZoneUnknown, "there is no time zone \(quoted(name)) in the database (release \(version))",
            hint: advice
        )
    }
}

/// The names and the release that a database lists.
private struct ZoneIndex {
    private(set) var names: Set<String> = []
    private(set) var version: String?

    /// Reads `tzdata.zi`: `# version R`, `Z NAME …` for a zone and `L TARGET NAME` for a link.
    init(compact text: [UInt8]) {
        for line in text.split(separator: UInt8(ascii: "\n")) {
            let words = Self.words(line)
            switch words.first {
            case "#" where words.count == 3 && words[1] == "version": version = words[2]
            case "Z" where words.count > 1: add(words[1])
            case "L" where words.count > 2: add(words[2])
            default: break
            }
        }
    }

    /// Reads tables whose third column is a name, and the file of old names, `Link TARGET NAME`.
    init(tables: [[UInt8]], backward: [UInt8], version text: [UInt8]) {
        for line in tables.joined(separator: [UInt8(ascii: "\n")]).split(separator: UInt8(ascii: "\n")) {
            guard line.first != UInt8(ascii: "#"), case let words = Self.words(line), words.count > 2 else { continue }
            add(words[2])
        }
        for line in backward.split(separator: UInt8(ascii: "\n")) {
            guard case let words = Self.words(line), words.count > 2, words[0] == "Link" else { continue }
            add(words[2])
        }
        if !names.isEmpty { names.formUnion(["UTC", "Etc/UTC"]) }
        version = Self.words(text[...]).first
    }

    /// Takes a name whose parts are plain words, so that it can never leave the directory.
    private mutating func add(_ name: String) {
        let parts = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let isPlain = parts.allSatisfy { part in
            part.first.map(Self.isLetter) == true
                && part.allSatisfy { Self.isLetter($0) || (0x30...0x39).contains($0) || "_+-".utf8.contains($0) }
        }
        guard isPlain, name.utf8.count <= 64, !["posix", "right"].contains(parts.first.map { String($0) }) else {
            return
        }
        names.insert(name)
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte & 0xDF) }

    private static func words(_ line: ArraySlice<UInt8>) -> [String] {
        line.split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0A }.prefix(4).map { String(decoding: $0, as: UTF8.self) }
    }
}
