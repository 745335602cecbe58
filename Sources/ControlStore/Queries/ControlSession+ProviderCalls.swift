package import KeyModel
internal import Storage

extension ControlSession {
    /// Adds calls of a provider to those of a day; whoever else counts on the same database adds to the same row.
    ///
    /// - Parameters:
    ///   - calls: How many.
    ///   - provider: Of whom.
    ///   - time: When they are counted; the day is that of UTC.
    /// - Throws: ``StorageError``.
    package func add(_ calls: ProviderCalls, of provider: Name, at time: Timestamp) throws {
        let day = String(time.description.prefix(10))
        try storage.execute(
            """
            INSERT INTO \(control: "provider_calls") AS present (day, provider, wraps, unwraps, looks, tests, turns)
            VALUES (\(day), \(provider.description), \(calls.wraps), \(calls.unwraps), \(calls.looks), \(calls.tests),
                    \(calls.turns))
            ON CONFLICT (day, provider) DO UPDATE SET wraps = present.wraps + excluded.wraps,
                unwraps = present.unwraps + excluded.unwraps, looks = present.looks + excluded.looks,
                tests = present.tests + excluded.tests, turns = present.turns + excluded.turns
            """
        )
    }

    /// The calls of a provider that were counted, all of them or from a day on.
    ///
    /// - Parameters:
    ///   - provider: Whose.
    ///   - day: How the first day begins: `2026-11` for that month and what follows; nil for all.
    /// - Returns: Their sum.
    /// - Throws: ``StorageError``.
    package func calls(of provider: Name, since day: String? = nil) throws -> ProviderCalls {
        let rows = try storage.query(
            """
            SELECT wraps, unwraps, looks, tests, turns FROM \(control: "provider_calls")
            WHERE provider = \(provider.description) AND day >= \(day ?? "")
            """
        )
        return try rows.map { row in
            ProviderCalls(
                wraps: try row.integer(0), unwraps: try row.integer(1), looks: try row.integer(2),
                tests: try row.integer(3), turns: try row.integer(4))
        }.reduce(ProviderCalls(), +)
    }

    /// What a run has asked of providers, over all processes that drove it: by provider and call.
    ///
    /// - Throws: ``StorageError``.
    package func providerCalls(ofRun run: Int64) throws -> [String: [String: Int64]] {
        let rows = try storage.query(
            "SELECT provider, call, calls FROM \(control: "run_provider_calls") WHERE run_id = \(run)")
        var counts: [String: [String: Int64]] = [:]
        for row in rows {
            let (provider, call) = (try row.text(0), try row.text(1))
            counts[provider, default: [:]][call] = try row.integer(2)
        }
        return counts
    }

    /// Records what a run has asked of providers up to now; a repeated call changes nothing.
    ///
    /// - Throws: ``StorageError``.
    package func record(providerCalls counts: [String: [String: Int64]], ofRun run: Int64) throws {
        for (provider, calls) in counts.sorted(by: { $0.key < $1.key }) {
            for (call, count) in calls.sorted(by: { $0.key < $1.key }) {
                try storage.execute(
                    """
                    INSERT INTO \(control: "run_provider_calls") (run_id, provider, call, calls)
                    VALUES (\(run), \(provider), \(call), \(count))
                    ON CONFLICT (run_id, provider, call) DO UPDATE SET calls = excluded.calls
                    """
                )
            }
        }
    }
}
