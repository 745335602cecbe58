internal import Foundation
internal import KeyModel
internal import Storage

/// Where a server keeps its files, as far as it tells the role.
struct ServerFiles: Sendable {
    private let directory: String
    /// Where tables lie; empty for the directory itself.
    private let places: [String]
    /// The number by which the directory is told from another one at the same place of this machine.
    private let systemIdentifier: Int64
    /// How far the log grows before its room is used again, as the server aims at.
    private let logLimit: Int64

    /// Asks the server; nil where it is on another machine, or does not tell.
    init?(_ session: PostgreSQLSession, of tables: [TableName]) throws {
        // Who may not read the setting is shown no row of it.
        let settings = try session.rows(
            """
            SELECT setting, pg_size_bytes(current_setting('max_wal_size')) FROM pg_settings WHERE name = 'data_directory'
                AND (inet_server_addr() IS NULL OR inet_server_addr() <<= inet '127.0.0.0/8' OR inet_server_addr() = inet '::1')
            """)
        guard let row = settings.first else { return nil }
        directory = try row.text(0)
        logLimit = try row.integer(1)
        systemIdentifier =
            try session.rows("SELECT system_identifier FROM pg_control_system()").first?.integer(0) ?? 0
        var places: Set<String> = []
        for table in tables {
            guard let record = try session.tableRecord(table) else { continue }
            let found = try session.rows(
                """
                SELECT DISTINCT pg_tablespace_location(coalesce(nullif(c.reltablespace, 0), d.dattablespace))
                FROM pg_class AS c, pg_database AS d WHERE d.datname = current_database() AND c.relkind = 'r'
                    AND c.oid = ANY (SELECT relid FROM pg_partition_tree($1::oid::regclass) UNION ALL SELECT $1::oid)
                """, [.integer(record.id)])
            for row in found { places.insert(try row.text(0)) }
        }
        self.places = places.isEmpty ? [""] : places.sorted()
    }

    /// The room on their disks; nothing where this process may not look into the directory, or it is another server's.
    var room: DiskRoom {
        guard isOurs else { return DiskRoom() }
        let disks = places.map { Disk(holding: $0.isEmpty ? directory : $0) }
        // The scarcest decides.
        let tables = disks.contains { $0 == nil } ? nil : disks.compactMap(\.self).min { $0.free < $1.free }
        let log = Disk(holding: directory + "/pg_wal")
        let isShared = tables != nil && tables?.device == log?.device
        return DiskRoom(
            tables: tables?.free, log: isShared ? nil : log?.free,
            logGrowth: logSize.map { max(0, logLimit - $0) }, isShared: isShared)
    }

    /// The file begins with the identifier, in the machine's own order of bytes.
    private var isOurs: Bool {
        guard let file = FileHandle(forReadingAtPath: directory + "/global/pg_control") else { return false }
        defer { try? file.close() }
        guard let head = try? file.read(upToCount: 8), head.count == 8 else { return false }
        return head.withUnsafeBytes { $0.loadUnaligned(as: Int64.self) } == systemIdentifier
    }

    /// What the log takes now.
    private var logSize: Int64? {
        let folder = directory + "/pg_wal"
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else { return nil }
        return names.reduce(0) { sum, name in
            var status = stat()
            return stat("\(folder)/\(name)", &status) == 0 ? sum + Int64(status.st_size) : sum
        }
    }

    /// A disk by what lies on it.
    private struct Disk {
        let device: UInt
        let free: Int64

        init?(holding path: String) {
            var (status, room) = (stat(), statvfs())
            guard stat(path, &status) == 0, statvfs(path, &room) == 0 else { return nil }
            device = UInt(status.st_dev)
            free = Int64(
                clamping: UInt64(room.f_bavail).multipliedReportingOverflow(by: UInt64(room.f_frsize)).partialValue)
        }
    }
}
