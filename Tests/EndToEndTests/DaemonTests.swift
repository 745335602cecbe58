import Foundation
import Testing
import ToolTesting

extension EndToEnd {
    /// `keyturn serve` as commands, signals and other users meet it.
    @Suite struct DaemonTests: ServesVaults {
        @Test func commandsGoThroughItAndSecretsStayOutOfItsLog() async throws {
            let vault = try await Vault.made(rows: 50)
            let daemon = try await serve(vault, "--log-level", "trace")
            _ = try await vault.sandbox.keyturn("adopt", "secret.value", "--yes").expecting()
            _ = try await vault.sandbox.keyturn("rotate", "vault", "--yes").expecting()
            let opened = try await vault.sandbox.keyturn("open", "secret.value", "--key", "7", "--stored").expecting()
            #expect(opened.line == vault.plaintexts[7])
            let exported = try await vault.sandbox.keyturn("keyring", "export", "vault", "--yes").expecting()
            #expect(exported.line.split(separator: "\n").count >= 1)
            let wrong = try await vault.sandbox.keyturn("call", "nonsense", "-o", "json")
            #expect(wrong.json.ok.bool == false)
            try await vault.expectFinished("through the daemon")
            try await end(daemon)
            let log = daemon.errorSoFar
            #expect(log.contains(#""event":"session opened""#))
            let secrets = vault.plaintexts.values + exported.line.split(separator: "\n").map(String.init)
            #expect(!secrets.contains { log.contains($0) })
            for line in log.split(separator: "\n") {
                #expect(JSONValue(parsing: String(line)).event.string != nil, "\(line)")
            }
        }

        @Test func hostileScriptsAreNothingToOthers() async throws {
            let vault = try await Vault.made(rows: 5)
            let daemon = try await serve(vault)
            // What is held against the limits of a quiet machine is the command's own default.
            let output = try await vault.sandbox.keyturn(
                "selftest", "--hostile", "--ping-within", "30000", "--end-within", "30000", "-o", "json")
            let result = output.json.result
            #expect(output.exitCode == 0, "\(output)")
            #expect(result.failed.integer == 0 && (result.pings.integer ?? 0) > 0, "\(output)")
            try await end(daemon)
        }

        @Test func functionsAreCalledAsTheyWereLoaded() async throws {
            let vault = try await Vault.made(rows: 5)
            func configuration(_ word: String) -> String {
                """
                database "sqlite:vault.db"
                keyring "vault" { core = "kr1" }
                column "secret.value" { keyring = "vault", key = "id", context = "row" }
                hook "after" (function(run) print("hook of \(word)", commands ~= nil) end)
                """
                    + (word == "then"
                        ? ""
                        : "\nwebhook \"ops\" { url = \"https://x.example\" }\n"
                            + "hook \"always\" (function(run) notify.webhook(\"ops\", run) end)")
            }
            try vault.sandbox.write(configuration("then"), to: "keyturn.lua")
            _ = try await vault.sandbox.keyturn("adopt", "secret.value", "--yes").expecting()
            let daemon = try await serve(vault)
            try vault.sandbox.write(configuration("later"), to: "keyturn.lua")
            _ = try await vault.sandbox.keyturn("rotate", "vault", "--yes").expecting()
            let shown = try await vault.sandbox.keyturn("runs", "show", "2", "-o", "json").expecting()
            #expect(shown.standardOutput.contains("hook of then"), "\(shown)")
            // Nobody looks at what a signal would grant.
            daemon.signal(SIGHUP)
            try await wait("it is taken up") { daemon.errorSoFar.contains("configuration taken up") }
            #expect(daemon.errorSoFar.contains("not granted: notify.webhook"), "\(daemon.errorSoFar)")
            try await end(daemon)
        }

        @Test func aRunBelongsToTheDaemonAndNotToWhoeverStartedIt() async throws {
            let vault = try await Vault.adopted(rows: 600)
            let daemon = try await serve(vault)
            let client = try vault.sandbox.start("rotate", "vault", "--yes", "--rows-per-second", "300")
            try await wait("rows are written") { try await vault.openRun() != nil }
            client.signal(SIGKILL)
            try await wait("the run is done") { try await vault.openRun() == nil }
            try await vault.expectFinished("its client was killed")
            try await end(daemon)
        }

        @Test func aStopLeavesTheRunToTheNextStart() async throws {
            let vault = try await Vault.adopted(rows: 2000)
            var daemon = try await serve(vault)
            let client = try vault.sandbox.start("rotate", "vault", "--yes", "--rows-per-second", "400")
            try await wait("the run is open") { try await vault.openRun() != nil }
            try await end(daemon)
            #expect(daemon.errorSoFar.contains("it goes on at the next start"))
            let output = try await client.wait()
            #expect(output.exitCode == 2, "\(output)")
            #expect(output.standardError.contains("goes on when the daemon is back"), "\(output)")
            daemon = try await serve(vault)
            try await wait("the run is done") { try await vault.openRun() == nil }
            #expect(daemon.errorSoFar.contains(#""event":"run resumed""#))
            try await vault.expectFinished("stopped and started")
            try await end(daemon)
        }

        @Test func aKilledDaemonIsReportedAndItsRunTakenUp() async throws {
            let vault = try await Vault.adopted(rows: 2000)
            var daemon = try await serve(vault)
            let client = try vault.sandbox.start("rotate", "vault", "--yes", "--rows-per-second", "400")
            try await wait("the run is open") { try await vault.openRun() != nil }
            daemon.signal(SIGKILL)
            let output = try await client.wait()
            #expect(output.exitCode == 2, "\(output)")
            #expect(output.standardError.contains("went away while it worked on"), "\(output)")
            // What it left behind is no daemon: commands do without, and the next one takes over.
            _ = try await vault.sandbox.keyturn("runs").expecting()
            daemon = try await serve(vault)
            try await wait("the run is done") { try await vault.openRun() == nil }
            try await vault.expectFinished("killed and started")
            try await end(daemon)
        }

        @Test func oneDaemonAnInstance() async throws {
            let vault = try await Vault.made(rows: 1)
            let daemon = try await serve(vault)
            let second = try await vault.sandbox.keyturn("serve", "--socket", vault.sandbox.path("other.sock"))
            #expect(second.exitCode == 2, "\(second)")
            #expect(second.standardError.contains("another keyturn works on this instance: process \(daemon.pid)"))
            try await end(daemon)
        }

        @Test func aNamedSocketNeedsNoInstanceAndMustAnswer() async throws {
            let vault = try await Vault.made(rows: 1)
            let socket = "/tmp/kt-\(UInt32.random(in: 0 ... .max))/k.sock"
            defer { try? FileManager.default.removeItem(atPath: (socket as NSString).deletingLastPathComponent) }
            let absent = try await vault.sandbox.keyturn("--socket", socket, "status")
            #expect(absent.exitCode == 2 && absent.standardError.contains("cannot reach a daemon at"), "\(absent)")
            let daemon = try await serve(vault, "--socket", socket)
            _ = try await vault.sandbox.keyturn("--socket", socket, "runs").expecting()
            try await end(daemon)
        }

        @Test func aHangUpTakesTheConfigurationUpAndABrokenOneIsLeftOut() async throws {
            let vault = try await Vault.made(rows: 1)
            let daemon = try await serve(vault)
            try vault.sandbox.write("keyring \"vault\" {", to: "keyturn.lua")
            daemon.signal(SIGHUP)
            try await wait("it is refused") { daemon.errorSoFar.contains("configuration not taken up") }
            _ = try await vault.sandbox.keyturn("runs").expecting()
            try vault.sandbox.write(
                """
                database "sqlite:vault.db"
                keyring "vault" { core = "kr1" }
                keyring "second" { core = "kr1" }
                column "secret.value" { keyring = "vault", key = "id", context = "row" }
                """, to: "keyturn.lua")
            daemon.signal(SIGHUP)
            try await wait("it is taken up") { daemon.errorSoFar.contains("configuration taken up") }
            let shown = try await vault.sandbox.keyturn("keyring", "show", "second").expecting()
            #expect(shown.standardOutput.contains("second"))
            try await end(daemon)
        }

        @Test func aHangUpWhileItStartsEndsNoDaemon() async throws {
            let vault = try await Vault.made(rows: 1)
            let daemon = try vault.sandbox.start("serve", "--log-format", "json")
            try await wait("it works on the instance") {
                (try? String(contentsOfFile: vault.sandbox.path("D/lock"), encoding: .utf8)) == "\(daemon.pid)"
            }
            daemon.signal(SIGHUP)
            try await wait("it is taken up") {
                daemon.errorSoFar.contains("configuration taken up") || !daemon.isRunning
            }
            try await end(daemon)
        }

        @Test(.enabled(if: geteuid() == 0, "only root can become another user"))
        func anotherUserIsRefusedByTheSocketAndThenByItsRole() async throws {
            let vault = try await Vault.made(rows: 1)
            let socket = "/tmp/kt-\(UInt32.random(in: 0 ... .max))/k.sock"
            let folder = (socket as NSString).deletingLastPathComponent
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let daemon = try await serve(vault, "--socket", socket)
            let closed = try await asNobody(vault.sandbox, folder, "--socket", socket, "status")
            #expect(closed.exitCode == 2 && closed.standardError.contains("Permission denied"), "\(closed)")
            chmod(folder, 0o755)
            chmod(socket, 0o666)
            let refused = try await asNobody(vault.sandbox, folder, "--socket", socket, "status")
            #expect(refused.exitCode == 2 && refused.standardError.contains("nobody"), "\(refused)")
            let audit = try await vault.sandbox.keyturn("--socket", socket, "call", "audit.list", "-o", "json")
                .expecting()
            #expect(
                audit.standardOutput.contains("session.open") && audit.standardOutput.contains("nobody"), "\(audit)")
            try await end(daemon)
        }

        @Test(
            .enabled(
                if: FileManager.default.isExecutableFile(atPath: "/usr/bin/systemd-analyze"),
                "systemd-analyze is not installed"))
        func theUnitIsInOrder() async throws {
            let sandbox = try Sandbox()
            let shipped = BuiltProgram.folder("scripts/systemd/keyturn@.service")
            let text = try String(contentsOf: shipped, encoding: .utf8)
            try sandbox.write(
                text.replacing("/usr/bin/keyturn", with: try BuiltProgram.keyturn()), to: "keyturn@test.service")
            let verified = try await sandbox.run(
                "/usr/bin/systemd-analyze", ["verify", sandbox.path("keyturn@test.service")])
            #expect(verified.exitCode == 0 && verified.standardError.isEmpty, "\(verified)")
        }

        private func asNobody(_ sandbox: Sandbox, _ folder: String, _ words: String...) async throws -> ProgramOutput {
            // Nobody may not look into the folder of the build; the shell opens the program for it.
            let program = try BuiltProgram.keyturn()
            let script =
                "cd /; exec 9<\"$1\"; shift; exec setpriv --reuid=65534 --regid=65534 --clear-groups /proc/self/fd/9 \"$@\""
            return try await sandbox.run("/bin/bash", ["-c", script, "bash", program] + words)
        }
    }
}
