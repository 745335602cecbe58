internal import Foundation
internal import KeyModel

/// The files of a cluster, laid out so that its server can be started on them at once and reaches nothing of what it did before.
///
/// As they were backed up its settings may name the live server's archive, addresses and folders. They are set aside under names
/// that end in `.origin`; in their place the server listens on a socket in its own folder, and on no address.
struct RestoredCluster: Sendable {
    let folder: String
    let programs: PostgreSQLPrograms
    /// The database that Keyturn's tables are in.
    let database: String
    /// The role that reaches it.
    let user: String

    /// A socket's path, of which the system takes 107 bytes, is the folder's with `/.s.PGSQL.5432` behind it.
    static let longestFolder = 107 - 14

    private static let settings = [
        "postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf", "standby.signal", "recovery.signal",
    ]

    /// Refuses a folder in which no server could make its socket, before anything is unpacked there.
    static func refuse(_ folder: String) throws(BackupError) {
        guard folder.utf8.count > longestFolder else { return }
        throw BackupError(
            .callerRequestInvalid,
            "cannot restore to \(quoted(folder)): its path has \(folder.utf8.count) bytes, a server's socket allows for "
                + "\(longestFolder)",
            hint: "Name a folder with a shorter path.")
    }

    /// Sets the old settings aside, writes new ones, and hands the files to whoever may run the server; durable when it returns.
    func layOut(_ isCancelled: Flag) throws {
        for name in Self.settings where access(path(name), F_OK) == 0 {
            guard rename(path(name), path(name + ".origin")) == 0 else { throw BackupError.system("move", path(name)) }
        }
        unlink(path("postmaster.pid"))
        let control = try programs.controlData(of: folder, isCancelled: isCancelled)
        // A log that holds prepared transactions can be replayed by a server only that has as much room for them.
        let prepared = control["max_prepared_xacts setting"].flatMap { Int($0) } ?? 0
        try write(
            """
            # Written by "keyturn backup restore". The settings that were backed up stand beside it as *.origin.
            listen_addresses = ''
            unix_socket_directories = '\(folder.replacingOccurrences(of: "'", with: "''"))'
            archive_mode = off
            max_prepared_transactions = \(prepared)

            """, to: "postgresql.conf")
        // The folder of the socket lets nobody else in.
        try write("local all all trust\n", to: "pg_hba.conf")
        try write("", to: "pg_ident.conf")
        if let account = try Self.account(of: folder) {
            try run("chown", ["-R", "\(account.uid):\(account.gid)", folder], isCancelled)
        }
        try run("sync", ["--file-system", folder], isCancelled)
    }

    /// The command for a shell that starts the server.
    var start: String {
        let control = "\(programs.folder)/pg_ctl"
        let arguments = ["--pgdata=\(folder)", "--log=\(path("server.log"))", "--wait", "start"]
        var facts = stat()
        guard geteuid() == 0, stat(folder, &facts) == 0, let entry = getpwuid(facts.st_uid) else {
            return Self.shell([control] + arguments)
        }
        // The server refuses to run as root, and to begin in a folder that is closed to it.
        let name = String(cString: entry.pointee.pw_name)
        return Self.shell(["cd", folder]) + " && " + Self.shell(["runuser", "-u", name, "--", control] + arguments)
    }

    /// The connection string, as it stands in `keyturn.lua`.
    var url: String {
        func escape(_ text: String) -> String {
            text.addingPercentEncoding(withAllowedCharacters: .alphanumerics.union(.init(charactersIn: "-._~/")))
                ?? text
        }
        return "postgresql://\(escape(user))@/\(escape(database))?host=\(escape(folder))"
    }

    private func path(_ name: String) -> String { folder + "/" + name }

    private func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: URL(filePath: path(name)))
        chmod(path(name), 0o600)
    }

    private func run(_ name: String, _ arguments: [String], _ isCancelled: Flag) throws {
        let program = Program(name: name, path: try Program.find(name, environment: [:]), arguments: arguments)
        _ = try ProgramOutput.of(program, patience: .seconds(3600), isCancelled: isCancelled)
    }

    /// Whom root hands the files to: whoever owns the folder, else the user `postgres`; nil for anybody but root.
    private static func account(of folder: String) throws -> (uid: uid_t, gid: gid_t)? {
        guard geteuid() == 0 else { return nil }
        var facts = stat()
        if stat(folder, &facts) == 0, facts.st_uid != 0 { return (facts.st_uid, facts.st_gid) }
        guard let entry = getpwnam("postgres") else {
            throw BackupError(
                .providerProgramMissing, "cannot hand over \(quoted(folder)): there is no user postgres",
                hint: "Install PostgreSQL's server, or name an empty folder that belongs to whoever runs it.")
        }
        return (entry.pointee.pw_uid, entry.pointee.pw_gid)
    }

    /// Words for a shell, quoted where they need it.
    private static func shell(_ words: [String]) -> String {
        words.map { word in
            let isPlain = word.unicodeScalars.allSatisfy { scalar in
                scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
                    || "-_=/.,:@+".unicodeScalars.contains(scalar)
            }
            return isPlain && !word.isEmpty ? word : "'" + word.replacingOccurrences(of: "'", with: "'\\''") + "'"
        }.joined(separator: " ")
    }
}

extension PostgreSQLPrograms {
    /// What `pg_controldata` says of the files of a cluster, by its own words.
    func controlData(of folder: String, isCancelled: Flag = Flag()) throws -> [String: String] {
        let control = program("pg_controldata", [folder])
        let text = try ProgramOutput.of(control, patience: .seconds(60), isCancelled: isCancelled)
        let pairs = text.split(separator: "\n").compactMap { line -> (String, String)? in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            return (String(line[..<colon]), value)
        }
        return Dictionary(pairs) { first, _ in first }
    }
}
