internal import Foundation
internal import KeyModel
internal import Storage

/// A server of PostgreSQL on a folder of its own that listens on a private socket alone; it dies with this process.
///
/// What a backup holds is code as well as data: that of a dump is run by a role that may do nothing beyond its database. The
/// process itself is not shut off from the network.
final class ScratchCluster: Sendable {
    private let data: String
    private let socket: String
    private let user: String
    private let server: HeldProgram

    /// Makes an empty cluster and starts its server.
    static func fresh(
        _ programs: PostgreSQLPrograms, in scratch: ScratchFolder, patience: Duration
    ) async throws -> ScratchCluster {
        let data = scratch.path("data")
        let place = try Place(programs, data: data)
        let arguments = [
            "--pgdata=\(data)", "--username=keyturn", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8",
            "--no-sync",
        ]
        let initdb = place.unprivileged(programs.program("initdb", arguments))
        return try await onThread { isCancelled in
            try place.own(scratch.folder)
            _ = try ProgramOutput.of(initdb, patience: patience, isCancelled: isCancelled)
            return try ScratchCluster(place, user: "keyturn", patience: patience, isCancelled)
        }
    }

    /// Starts a server on the files of a physical backup.
    static func taking(
        _ programs: PostgreSQLPrograms, user: String, in scratch: ScratchFolder, patience: Duration
    ) async throws -> ScratchCluster {
        let place = try Place(programs, data: scratch.path("data"))
        return try await onThread { isCancelled in
            // What was prepared and not committed is replayed as well, and needs its room.
            let prepared = try programs.controlData(of: place.data, isCancelled: isCancelled)[
                "max_prepared_xacts setting"]
            try place.own(scratch.folder, settings: "max_prepared_transactions = \(prepared.flatMap { Int($0) } ?? 0)")
            // Settings of the server that was backed up name folders, archives and other servers.
            for name in ["postgresql.auto.conf", "standby.signal", "recovery.signal", "postmaster.pid"] {
                unlink(place.data + "/" + name)
            }
            return try ScratchCluster(place, user: user, patience: patience, isCancelled)
        }
    }

    private init(_ place: Place, user: String, patience: Duration, _ isCancelled: Flag) throws {
        data = place.data
        socket = place.socket
        self.user = user
        server = try HeldProgram(place.server())
        let ready = place.programs.program("pg_isready", ["--quiet", "--host=\(socket)"])
        let deadline = ContinuousClock.now + patience
        while (try? ProgramOutput.of(ready, patience: .seconds(20))) == nil {
            if isCancelled.isSet { throw CancellationError() }
            try server.requireRunning()
            guard ContinuousClock.now < deadline else { throw server.program.timedOut(patience) }
            poll(nil, 0, 100)
        }
    }

    deinit {
        server.end()
        try? FileManager.default.removeItem(atPath: socket)
    }

    /// Ends the server.
    func stop() async {
        let server = server
        _ = try? await onThread { _ in server.end() }
    }

    /// The superuser that makes what only a superuser may, and is none any more once ``handOver(_:connecting:)`` returns.
    static let loader = "keyturn_loader"
    /// The role that owns the restored database, and may do nothing beyond it.
    static let unprivileged = "keyturn_owner"

    /// Makes the two roles of a restore.
    func prepareLoader(connecting: (String) async throws -> any StorageEngine) async throws {
        try await execute(
            [
                "CREATE ROLE \(raw: Self.loader) LOGIN SUPERUSER",
                "CREATE ROLE \(raw: Self.unprivileged) LOGIN BYPASSRLS",
            ],
            on: "postgres", connecting)
    }

    /// Hands a database over to the role that may do nothing beyond it, and lets no superuser in any more.
    func handOver(_ database: String, connecting: (String) async throws -> any StorageEngine) async throws {
        try await execute(
            [
                // Only a superuser can own one of these.
                """
                DO $$ DECLARE name text; BEGIN
                FOR name IN SELECT fdwname FROM pg_foreign_data_wrapper LOOP
                    EXECUTE format('ALTER FOREIGN DATA WRAPPER %I OWNER TO \(raw: user)', name);
                END LOOP; END $$
                """,
                "REASSIGN OWNED BY \(raw: Self.loader) TO \(raw: Self.unprivileged)",
                "GRANT CREATE ON DATABASE \(identifier: database) TO \(raw: Self.unprivileged)",
                "GRANT ALL ON SCHEMA public TO \(raw: Self.unprivileged)",
                "ALTER ROLE \(raw: Self.loader) NOSUPERUSER NOLOGIN", "ALTER ROLE \(raw: user) NOLOGIN",
            ], on: database, connecting)
    }

    private func execute(
        _ statements: [SQL], on database: String, _ connecting: (String) async throws -> any StorageEngine
    ) async throws {
        let engine = try await connecting(url(database: database, user: user))
        do {
            try await engine.write { session in for statement in statements { try session.execute(statement) } }
            await engine.close()
        } catch {
            await engine.close()
            throw error
        }
    }

    /// A connection string.
    func url(database: String, user: String? = nil) -> String {
        let user = user ?? self.user
        func quote(_ text: String) -> String {
            "'" + text.flatMap { $0 == "'" || $0 == "\\" ? ["\\", $0] : [$0] } + "'"
        }
        return "host=\(quote(socket)) dbname=\(quote(database)) user=\(quote(user)) passfile=\(quote(socket + "/none"))"
    }

    /// The variables by which programs reach it.
    func environment(database: String?, user: String) -> [String: String] {
        var variables = ["PGHOST": socket, "PGUSER": user, "PGPASSFILE": socket + "/none"]
        variables["PGDATABASE"] = database
        return variables
    }
}

extension ScratchCluster {
    /// Where a cluster stands and who runs it: the server refuses to run as root.
    fileprivate struct Place: Sendable {
        let programs: PostgreSQLPrograms
        let data: String
        let socket: String
        private let account: (uid: uid_t, gid: gid_t)?

        init(_ programs: PostgreSQLPrograms, data: String) throws {
            self.programs = programs
            self.data = data
            socket = "/tmp/keyturn-\(UUID().uuidString.prefix(8).lowercased())"
            guard geteuid() == 0 else {
                account = nil
                return
            }
            guard let entry = getpwnam("postgres") else {
                throw BackupError(
                    .providerProgramMissing, "a scratch server cannot run as root, and there is no user postgres",
                    hint: "Install PostgreSQL's server, or run Keyturn as a user of its own.")
            }
            account = (entry.pointee.pw_uid, entry.pointee.pw_gid)
        }

        /// Makes the folder of the socket, and hands everything to whoever runs the server.
        func own(_ folder: String, settings more: String = "") throws {
            guard mkdir(socket, 0o700) == 0 else { throw BackupError.system("make", socket) }
            let rules = "local all all trust\n"
            try Data(rules.utf8).write(to: URL(filePath: folder + "/hba"))
            let settings = """
                listen_addresses = ''
                unix_socket_directories = '\(socket)'
                fsync = off
                autovacuum = off
                archive_mode = off
                max_connections = 20
                shared_buffers = 32MB
                logging_collector = off
                ssl = off
                max_wal_senders = 0
                max_worker_processes = 0
                \(more)

                """
            try Data(settings.utf8).write(to: URL(filePath: folder + "/conf"))
            guard let account else { return }
            let chown = Program(
                name: "chown", path: try Program.find("chown", environment: [:]),
                arguments: ["-R", "\(account.uid):\(account.gid)", folder, socket])
            _ = try ProgramOutput.of(chown, patience: .seconds(600))
        }

        /// The server itself.
        func server() throws -> Program {
            let folder = URL(filePath: data).deletingLastPathComponent().path
            let arguments = [
                "-D", data, "-c", "config_file=\(folder)/conf", "-c", "hba_file=\(folder)/hba",
                "-c", "ident_file=/dev/null",
            ]
            return unprivileged(programs.program("postgres", arguments), dyingWithParent: true)
        }

        /// The program as a user that may run it; ended by the system where the thread that started it ends.
        func unprivileged(_ program: Program, dyingWithParent: Bool = false) -> Program {
            var arguments: [String] = dyingWithParent ? ["--pdeathsig", "QUIT"] : []
            if let account {
                arguments += ["--reuid=\(account.uid)", "--regid=\(account.gid)", "--clear-groups"]
            }
            guard !arguments.isEmpty, let path = try? Program.find("setpriv", environment: [:]) else { return program }
            return Program(
                name: program.name, path: path, arguments: arguments + ["--", program.path] + program.arguments,
                environment: program.environment, folder: "/")
        }
    }
}

/// A program whose starting thread stays until it has ended, since the system ends it with that thread.
private final class HeldProgram: Sendable {
    let program: RunningProgram
    private let goOn = DispatchSemaphore(value: 0)
    private let isOver = Flag()

    init(_ wanted: Program) throws {
        let started = Locked<Result<RunningProgram, any Error>?>(nil)
        let isStarted = DispatchSemaphore(value: 0)
        let goOn = goOn
        Thread.detachNewThread {
            let result = Result<RunningProgram, any Error> {
                try wanted.start(input: nil, output: try Descriptor("/dev/null", O_WRONLY))
            }
            started.with { $0 = result }
            isStarted.signal()
            goOn.wait()
        }
        isStarted.wait()
        guard let result = started.with({ $0 }) else { throw BackupError.system("start", wanted.name) }
        program = try result.get()
    }

    deinit { end() }

    /// Refuses to go on where the program has ended by itself.
    func requireRunning() throws {
        guard program.hasEnded else { return }
        try program.succeed(within: .seconds(10))
        throw BackupError(.providerProgramFailed, "\(program.name) ended at once")
    }

    func end() {
        program.end()
        isOver.set()
        goOn.signal()
    }
}
