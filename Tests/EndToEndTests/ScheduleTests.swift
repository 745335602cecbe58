import Foundation
import Testing
import ToolTesting

extension EndToEnd {
    /// `keyturn serve` working schedules, as people and monitoring see it.
    @Suite struct ScheduleTests: ServesVaults {
        private func configuration(_ schedules: String) -> String {
            """
            database "sqlite:vault.db"
            keyring "vault" { core = "kr1" }
            column "secret.value" { keyring = "vault", key = "id", context = "row" }
            \(schedules)
            """
        }

        /// A vault whose configuration declares schedules from the start, so that they are granted.
        private func vault(_ schedules: (_ recipient: String) -> String) async throws -> Vault {
            let vault = try Vault(rows: 20)
            _ = try await vault.sandbox.run("age-keygen", "-o", "id.txt").expecting()
            let recipient = try await vault.sandbox.run("age-keygen", "-y", "id.txt").expecting().line
            try vault.sandbox.write(configuration(schedules(recipient)), to: "keyturn.lua")
            _ = try await vault.sandbox.keyturn("init", "--config", "keyturn.lua").expecting()
            _ = try await vault.sandbox.keyturn("adopt", "secret.value", "--yes").expecting()
            return vault
        }

        private func occurrences(_ vault: Vault, _ name: String) async throws -> [JSONValue] {
            let shown = try await vault.sandbox.keyturn("call", "schedules.show", name, "-o", "json")
            return shown.json.result.occurrences.array
        }

        // What is waited for is no closure in `#expect`: the compiler takes one such closure for another of the same function.
        private func ended(_ vault: Vault, _ name: String, why reason: String = "time") async throws -> [JSONValue] {
            let latest = try await occurrences(vault, name)
            let stuck = latest.filter { $0.state.string == "needs_operator" }
            try #require(stuck.isEmpty, "\(stuck)")
            return latest.filter { $0.state.string == "succeeded" && $0.reason.string == reason }
        }

        @Test func aScheduleRotatesAndEverybodyCanSeeThatItDid() async throws {
            let vault = try await vault { _ in #"schedule "often" { keyring = "vault", every = "1m", tz = "UTC" }"# }
            let daemon = try await serve(vault, "--metrics", "127.0.0.1:0")
            try await wait("an occurrence succeeded") { try await !ended(vault, "often").isEmpty }
            let done = try #require(try await ended(vault, "often").first)
            #expect(done.run.integer != nil && done.attempt.integer == 1, "\(done)")
            let paused = try await vault.sandbox.keyturn("call", "schedules.pause", "often", "audit", "--yes")
            #expect(paused.exitCode == 0, "\(paused)")
            let listed = try await vault.sandbox.keyturn("call", "schedules.list", "-o", "json").expecting()
            #expect(listed.json.result.array.first?.state.string == "paused", "\(listed)")
            let runs = try await vault.sandbox.keyturn("runs", "-o", "json").expecting().json.result.array
            let ownRun = runs.first { $0.run.integer == done.run.integer }
            let run = try #require(ownRun)
            #expect(run.kind.string == "rotate" && run.state.string == "done", "\(run)")
            let audit = try await vault.sandbox.keyturn("call", "audit.list", "-o", "json").expecting()
            let itsCalls = audit.json.result.array.filter {
                $0.call.string == "rotations.rotate" && $0.way.string == "schedule"
                    && $0.user.string?.contains("schedule often of") == true
            }
            #expect(!itsCalls.isEmpty, "\(audit)")
            try await vault.expectFinished("rotated by its schedule")
            let log = daemon.errorSoFar.split(separator: "\n").map { JSONValue(parsing: String($0)) }
            let told = log.first { $0.event.string == "figures" }
            let address = try #require(told?.address.string)
            let figures = try await vault.sandbox.run("/usr/bin/curl", ["-sS", "http://\(address)/metrics"])
            #expect(figures.standardOutput.contains("keyturn_scheduler_lease_epoch "), "\(figures)")
            #expect(
                figures.standardOutput.contains(#"keyturn_schedule_next_due_seconds{schedule="often"}"#), "\(figures)")
            let resumed = try await vault.sandbox.keyturn("call", "schedules.resume", "often", "over", "--yes")
            #expect(resumed.exitCode == 0, "\(resumed)")
            try await wait("another one succeeded") { try await ended(vault, "often").count > 1 }
            try await end(daemon)
        }

        @Test func aTriggeredScheduleCallsItsFunctionUnderTheGrantAndAnOverdueKeyIsAProblem() async throws {
            let vault = try await vault { recipient in
                """
                schedule "yearly" {
                  keyring = "vault", cron = "@yearly", tz = "UTC",
                  action = function(ctx) keyrings.verify(ctx.keyring); rotations.rotate(ctx.keyring) end,
                }
                schedule "checked" { action = "verify", keyring = "vault", cron = "@yearly", tz = "UTC" }
                backup {
                  directory = "backups", recipient = "\(recipient)", identity = "id.txt",
                  external_backup_retention = "none",
                }
                schedule "nightly" { action = "backup", cron = "@yearly", tz = "UTC" }
                schedule "drilled" { action = "drill", cron = "@yearly", tz = "UTC" }
                """
            }
            let daemon = try await serve(vault)
            for name in ["yearly", "checked", "nightly", "drilled"] {
                try await wait("\(name) is recorded") {
                    try await vault.sandbox.keyturn("call", "schedules.trigger", name, "--yes").exitCode == 0
                }
                try await wait("\(name) succeeded") { try await !ended(vault, name, why: "manual").isEmpty }
            }
            try await vault.expectFinished("rotated by a function")
            let backups = try await vault.sandbox.keyturn("call", "backups.list", "-o", "json").expecting()
            #expect(backups.json.result.array.count == 1, "\(backups)")
            let report = try await vault.sandbox.keyturn("call", "keyrings.report", "-o", "json").expecting()
            #expect(report.json.result.array.first?.drill.string?.hasPrefix("passed") == true, "\(report)")
            let good = try await vault.sandbox.keyturn("status")
            #expect(good.exitCode == 0, "\(good)")
            try vault.sandbox.write(
                configuration(
                    """
                    schedule "checked" {
                      keyring = "vault", next = function(ctx) return ctx.after + 2 end, tz = "UTC", retry = 0,
                      action = function() error("no such luck") end,
                    }
                    """), to: "keyturn.lua")
            daemon.signal(SIGHUP)
            try await wait("it is taken up") { daemon.errorSoFar.contains("configuration taken up") }
            try await wait("it is given up") {
                try await vault.sandbox.keyturn("status").exitCode == 1
            }
            let status = try await vault.sandbox.keyturn("status", "-o", "json")
            #expect(status.standardOutput.contains("needs an operator"), "\(status)")
            #expect(status.standardOutput.contains("no such luck"), "\(status)")
            try await end(daemon)
            try vault.sandbox.write(
                configuration(
                    #"schedule "late" { keyring = "vault", cron = "@yearly", tz = "UTC", max_key_age = "1m" }"#),
                to: "keyturn.lua")
            try await wait("the key is too old") {
                let status = try await vault.sandbox.keyturn("status")
                return status.exitCode == 1 && status.standardOutput.contains("is overdue")
            }
        }
    }
}
