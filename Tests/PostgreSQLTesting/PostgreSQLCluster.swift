import Foundation
import Synchronization

/// A cluster of its own, in a directory of its own, reached through a socket in it.
///
/// A shell keeps it: the shell ends the server and removes the directory as soon as its standard input ends, which is
/// when this process does, however that comes about.
package final class PostgreSQLCluster: Sendable {
    /// The directory, which holds the socket.
    package let directory: String
    private let keeper: Mutex<Keeper>

    private struct Keeper: ~Copyable {
        let process: Process
        let input: FileHandle
        let output: FileHandle
    }

    /// Why no cluster can be made here; nil where one can.
    package static var obstacle: String? { programs == nil ? "PostgreSQL is not installed" : nil }

    /// Whether a cluster can be made here.
    package static var isAvailable: Bool { programs != nil }

    /// The directory of the newest server's programs.
    private static let programs: String? = {
        let root = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        return versions.sorted { (Int($0) ?? 0) > (Int($1) ?? 0) }.map { "\(root)/\($0)/bin" }
            .first { FileManager.default.isExecutableFile(atPath: $0 + "/initdb") }
    }()

    /// The path of one of the server's programs.
    ///
    /// - Throws: ``ClusterFailure`` where PostgreSQL is not installed.
    package static func program(_ name: String) throws -> String {
        guard let programs else { throw ClusterFailure(description: obstacle ?? "") }
        return "\(programs)/\(name)"
    }

    /// The cluster that the tests of a process share, made when first asked for.
    package static func shared() async throws -> PostgreSQLCluster { try await sharedTask.value }

    private static let sharedTask = Task { try PostgreSQLCluster() }

    /// Makes a cluster and starts its server.
    ///
    /// - Parameters:
    ///   - settings: Lines for its `postgresql.conf`.
    ///   - walDirectory: Where its write-ahead log is to lie, in segments of 1 MiB; nil for its own directory.
    /// - Throws: ``ClusterFailure`` with what its programs said.
    package init(settings: [String] = [], walDirectory: String? = nil) throws {
        guard let programs = Self.programs else { throw ClusterFailure(description: Self.obstacle ?? "") }
        let process = Process()
        let (input, output) = (Pipe(), Pipe())
        // The server refuses to run as root.
        let isRoot = getuid() == 0
        process.executableURL = URL(filePath: isRoot ? "/usr/sbin/runuser" : "/bin/sh")
        process.arguments =
            (isRoot ? ["-u", "postgres", "--", "/bin/sh"] : []) + [
                "-c", Self.script, "sh", programs, walDirectory ?? "",
            ] + settings
        process.currentDirectoryURL = URL(filePath: "/")
        process.environment = ["PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"]
        process.standardInput = input
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let answer = output.fileHandleForReading
        var text = ""
        while !text.contains("\nready\n") {
            let data = answer.availableData
            if data.isEmpty { break }
            text += String(decoding: data, as: UTF8.self)
        }
        guard let end = text.range(of: "\nready\n"), let line = text[..<end.lowerBound].split(separator: "\n").last
        else {
            throw ClusterFailure(description: "no cluster could be started: \(text)")
        }
        directory = String(line)
        keeper = Mutex(Keeper(process: process, input: input.fileHandleForWriting, output: answer))
    }

    /// Stops the server and starts it again.
    ///
    /// - Throws: ``ClusterFailure``.
    package func restart() throws { try tell("restart") }

    /// Stops the server at once, as a crash would.
    ///
    /// - Throws: ``ClusterFailure``.
    package func stop() throws { try tell("stop") }

    /// Starts the server after ``stop()``.
    ///
    /// - Throws: ``ClusterFailure``.
    package func start() throws { try tell("start") }

    /// Has all processes of the server stand still, while its machine goes on: connections stay and nobody answers.
    ///
    /// - Throws: ``ClusterFailure``.
    package func freeze() throws { try signal(SIGSTOP) }

    /// Has them go on.
    package func thaw() { try? signal(SIGCONT) }

    /// Sends a signal to the server and to what it has started.
    private func signal(_ number: CInt) throws {
        let lines = (try? String(contentsOfFile: "\(directory)/data/postmaster.pid", encoding: .utf8)) ?? ""
        guard let server = lines.split(separator: "\n").first.flatMap({ pid_t($0) }), kill(server, number) == 0 else {
            throw ClusterFailure(description: "the server cannot be sent signal \(number)")
        }
        for entry in try FileManager.default.contentsOfDirectory(atPath: "/proc") {
            guard let child = pid_t(entry),
                let text = try? String(contentsOfFile: "/proc/\(child)/stat", encoding: .utf8)
            else { continue }
            // What stands behind the name in parentheses: the state, then the parent.
            let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ")
            if fields.count > 2, pid_t(fields[2]) == server { kill(child, number) }
        }
    }

    /// Makes a second server that follows this one, and starts it.
    ///
    /// - Throws: ``ClusterFailure``.
    package func addStandby() throws { try tell("standby") }

    /// Holds the second server back: it hears nothing more of what is committed here.
    ///
    /// - Throws: ``ClusterFailure``.
    package func detachStandby() throws { try tell("detach") }

    /// Makes the second server one of its own, which takes writes.
    ///
    /// - Throws: ``ClusterFailure``.
    package func promoteStandby() throws { try tell("promote") }

    /// Stops the server and removes its directory.
    package func dispose() {
        keeper.withLock { keeper in
            try? keeper.input.close()
            keeper.process.waitUntilExit()
        }
    }

    /// A connection string.
    package func url(database: String, user: String = "postgres") -> String {
        "host='\(directory)' dbname='\(database)' user='\(user)'"
    }

    /// A connection string in the form of a URL that finds whichever of the two servers takes writes.
    package func failoverURL(database: String) -> String {
        "postgresql://postgres@/\(database)?host=\(directory),\(directory)&port=5432,5433&target_session_attrs=read-write"
    }

    /// A connection string for the second server.
    package func standbyURL(database: String) -> String { "\(url(database: database)) port=5433" }

    private func tell(_ word: String) throws {
        try keeper.withLock { keeper in
            try keeper.input.write(contentsOf: Data("\(word)\n".utf8))
            var text = ""
            while !text.contains("done\n") {
                let data = keeper.output.availableData
                if data.isEmpty { break }
                text += String(decoding: data, as: UTF8.self)
            }
            guard text.contains("done\n"), !text.contains("failed\n") else {
                throw ClusterFailure(description: "cannot \(word) the cluster: \(text)")
            }
        }
    }

    private static let script = #"""
        trap '' INT TERM HUP
        bin=$1; shift
        wal=$1; shift
        dir=$(mktemp -d /tmp/keyturn-pg-XXXXXX) || exit 1
        stop() { "$bin/pg_ctl" -D "$dir/$1" -m immediate -w stop >/dev/null 2>&1; }
        trap 'stop standby; stop data; rm -rf "$dir"' EXIT
        "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 -N \
            ${wal:+-X "$wal" --wal-segsize=1} >"$dir/log" 2>&1 \
            || { cat "$dir/log"; exit 1; }
        {
            echo "listen_addresses = ''"
            echo "unix_socket_directories = '$dir'"
            echo "fsync = off"
            echo "full_page_writes = off"
            echo "max_connections = 200"
            echo "max_prepared_transactions = 10"
            echo "autovacuum = off"
            for line in "$@"; do echo "$line"; done
        } >>"$dir/data/postgresql.conf"
        standby() {
            "$bin/pg_basebackup" -D "$dir/standby" -h "$dir" -p 5432 -U postgres -R -c fast >>"$dir/log" 2>&1 || return
            echo "port = 5433" >>"$dir/standby/postgresql.conf"
            "$bin/pg_ctl" -D "$dir/standby" -l "$dir/standby.log" -w start >/dev/null 2>&1 </dev/null
        }
        detach() {
            echo "primary_conninfo = ''" >>"$dir/standby/postgresql.auto.conf"
            "$bin/pg_ctl" -D "$dir/standby" -m fast -w stop >/dev/null 2>&1
            "$bin/pg_ctl" -D "$dir/standby" -l "$dir/standby.log" -w start >/dev/null 2>&1 </dev/null
        }
        start() { "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w start >/dev/null 2>&1 </dev/null; }
        start || { cat "$dir/log"; exit 1; }
        printf '%s\nready\n' "$dir"
        while read -r word; do
            case $word in
                stop) stop data ;;
                start) start ;;
                standby) standby ;;
                detach) detach ;;
                promote) "$bin/pg_ctl" -D "$dir/standby" -w promote >/dev/null 2>&1 ;;
                restart) "$bin/pg_ctl" -D "$dir/data" -m fast -w stop >/dev/null 2>&1 && start ;;
            esac && echo done || echo failed done
        done
        """#
}

/// Says why there is no cluster.
package struct ClusterFailure: Error, CustomStringConvertible {
    /// The reason.
    package let description: String
}
