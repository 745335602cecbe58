import Foundation
import PostgreSQLTesting
import Storage
import StoragePostgreSQL
import Testing

/// What libpq's connection strings say of TLS holds, against a server that takes nothing else.
@Suite(.enabled(if: PostgreSQLCluster.isAvailable, "PostgreSQL is not installed"))
struct PostgreSQLEncryptionTests {
    @Test
    func aServerIsReachedOverTLSAndChecked() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "keyturn-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        // An address of its own on the loopback, so that no other server is in the way.
        let address = "127.\(Int.random(in: 2...250)).\(Int.random(in: 2...250)).\(Int.random(in: 2...250))"
        for name in ["server", "other"] {
            try run(
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "2", "-subj", "/CN=\(name)", "-addext", "subjectAltName=IP:\(address)",
                "-keyout", "\(folder.path)/\(name).key", "-out", "\(folder.path)/\(name).crt")
        }
        try "local all all trust\nhostssl all all 127.0.0.0/8 trust\n".write(
            to: folder.appending(path: "hba.conf"), atomically: true, encoding: .utf8)
        if getuid() == 0 { try run("chown", "-R", "postgres", folder.path) }
        let cluster = try PostgreSQLCluster(settings: [
            "listen_addresses = '\(address)'", "ssl = on", "ssl_cert_file = '\(folder.path)/server.crt'",
            "ssl_key_file = '\(folder.path)/server.key'", "hba_file = '\(folder.path)/hba.conf'",
        ])
        defer { cluster.dispose() }
        func engine(_ rest: String) async throws -> PostgreSQLEngine {
            try await PostgreSQLEngine(url: "postgresql://postgres@\(address):5432/postgres?\(rest)")
        }
        let checked = try await engine("sslmode=verify-full&sslrootcert=\(folder.path)/server.crt")
        let version = try await checked.read { session in
            try session.query("SELECT version FROM pg_stat_ssl WHERE ssl AND pid = pg_backend_pid()").first?.text(0)
        }
        #expect(version?.hasPrefix("TLSv1") == true)
        await checked.close()
        for (rest, reason) in [
            ("sslmode=verify-full&sslrootcert=\(folder.path)/other.crt", "certificate verify failed"),
            ("sslmode=verify-full&sslrootcert=\(folder.path)/absent.crt", "does not exist"),
            ("sslmode=disable", "no encryption"),
        ] {
            let error = await storageError {
                let engine = try await engine(rest)
                _ = try await engine.read { try $0.query("SELECT 1").count }
            }
            #expect(
                error?.code == .storeUnavailable, "\(String(describing: error))")
            #expect(error?.message.contains(reason) == true, "\(String(describing: error))")
        }
    }

    private func run(_ words: String...) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = words
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "\(words)")
    }
}
