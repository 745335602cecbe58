import CoreMetrics
import Foundation
import KeyModel
import Monitoring
import Scheduling
import Testing

struct FigureTests {
    @Test func figuresAreWrittenAsPrometheusReadsThem() async throws {
        let registry = FigureRegistry()
        let recorder = ScheduleFiguresRecorder(factory: registry)
        var figures = ScheduleFigures(
            nextDue: try Timestamp(withOffset: "2027-01-02T01:00:00Z"), sinceSuccess: nil, keyAge: 0.5)
        recorder.record(try Name("quarterly"), figures)
        figures.sinceSuccess = .milliseconds(1500)
        recorder.record(try Name("weekly"), figures)
        recorder.skipped(try Name("weekly"), 3, reason: "missed")
        recorder.skipped(try Name("weekly"), 1, reason: "overlap")
        recorder.holds(epoch: 7)
        recorder.clockStepped()
        let listener = try FigureListener(on: "127.0.0.1:0", registry)
        let service = Task { try await listener.run() }
        let served = try await curl("http://127.0.0.1:\(listener.port)/metrics")
        service.cancel()
        try await service.value
        #expect(
            served == """
                # TYPE keyturn_schedule_key_age_ratio gauge
                keyturn_schedule_key_age_ratio{schedule="quarterly"} 0.5
                keyturn_schedule_key_age_ratio{schedule="weekly"} 0.5
                # TYPE keyturn_schedule_last_success_age_seconds gauge
                keyturn_schedule_last_success_age_seconds{schedule="quarterly"} -1
                keyturn_schedule_last_success_age_seconds{schedule="weekly"} 1.5
                # TYPE keyturn_schedule_missed_total counter
                keyturn_schedule_missed_total{schedule="weekly"} 3
                # TYPE keyturn_schedule_next_due_seconds gauge
                keyturn_schedule_next_due_seconds{schedule="quarterly"} 1798851600
                keyturn_schedule_next_due_seconds{schedule="weekly"} 1798851600
                # TYPE keyturn_schedule_skipped_total counter
                keyturn_schedule_skipped_total{schedule="weekly",reason="missed"} 3
                keyturn_schedule_skipped_total{schedule="weekly",reason="overlap"} 1
                # TYPE keyturn_scheduler_clock_steps_total counter
                keyturn_scheduler_clock_steps_total 1
                # TYPE keyturn_scheduler_lease_epoch gauge
                keyturn_scheduler_lease_epoch 7
                200
                """)
    }

    @Test func labelsAreEscaped() {
        let registry = FigureRegistry()
        Counter(label: "9 odd-name", dimensions: [("a b", "x\"\\\ny")], factory: registry).increment()
        #expect(registry.text == "# TYPE _9_odd_name counter\n_9_odd_name{a_b=\"x\\\"\\\\\\ny\"} 1\n")
    }

    @Test(arguments: [
        "", "0.0.0.0:9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "[::]:1", "example.com:80", "127.0.0.1:1:2",
    ])
    func onlyLoopbackAddressesAreTaken(address: String) {
        let error = #expect(throws: MonitoringError.self) { try FigureListener(on: address, FigureRegistry()) }
        #expect(error?.code == .callerAddressMalformed)
    }

    @Test func aListenerAnswersGetAndNothingElse() async throws {
        let registry = FigureRegistry()
        Counter(label: "seen_total", factory: registry).increment(by: 4)
        let listener = try FigureListener(on: "127.0.0.1:0", registry)
        let service = Task { try await listener.run() }
        let url = "http://127.0.0.1:\(listener.port)"
        #expect(try await curl(url + "/metrics") == "# TYPE seen_total counter\nseen_total 4\n200")
        #expect(try await curl(url + "/") == "404 Not Found\n404")
        #expect(try await curl("-X", "POST", "-d", "a=1", url + "/metrics") == "405 Method Not Allowed\n405")
        let long = String(repeating: "a", count: 20_000)
        #expect(try await curl("-H", "X-Long: \(long)", url + "/metrics").hasSuffix("431"))
        #expect(try await answerToLongBody(listener.port).hasPrefix("HTTP/1.1 405"))
        // One that says nothing keeps nobody else waiting for long.
        let silent = Process()
        silent.executableURL = URL(filePath: "/bin/bash")
        silent.arguments = ["-c", "exec 3<>/dev/tcp/127.0.0.1/\(listener.port); sleep 30"]
        try silent.run()
        try await Task.sleep(for: .milliseconds(300))
        #expect(try await curl("--max-time", "20", url + "/metrics").hasSuffix("200"))
        silent.terminate()
        service.cancel()
        try await service.value
        let taken = #expect(throws: MonitoringError.self) {
            try FigureListener(on: "127.0.0.1:\(listener.port)", registry)
        }
        #expect(taken?.code == .storeAddressUnavailable)
    }

    /// What the program curl prints, with the status behind it.
    private func curl(_ arguments: String...) async throws -> String {
        try await output(of: "curl", ["-s", "-w", "%{http_code}"] + arguments)
    }

    /// What somebody gets who reads the answer only once all is sent.
    private func answerToLongBody(_ port: UInt16) async throws -> String {
        let script = """
            import socket, time
            s = socket.create_connection(("127.0.0.1", \(port)))
            s.sendall(b"POST /metrics HTTP/1.1\\r\\nContent-Length: 300000\\r\\n\\r\\n" + bytes(100000))
            for _ in range(2):
                time.sleep(0.2)
                s.sendall(bytes(100000))
            print(s.recv(4096).decode())
            """
        return try await output(of: "python3", ["-c", script])
    }

    private func output(of program: String, _ arguments: [String]) async throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [program] + arguments
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        return try await Task.detached {
            let data = try output.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            return String(decoding: data, as: UTF8.self)
        }.value
    }
}
