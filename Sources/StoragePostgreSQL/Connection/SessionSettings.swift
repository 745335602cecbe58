/// What every connection is set to before its first use.
struct SessionSettings: Sendable {
    /// How long a batch waits for a row that another transaction has locked.
    var batchLockTimeout: Duration
    /// How long any other statement waits for a lock.
    var lockTimeout: Duration = .seconds(5)
    /// How long a statement may take.
    var statementTimeout: Duration
    /// How long the server lets a transaction of ours stand idle, should this process be stopped in its midst.
    var idleTimeout: Duration = .seconds(60)

    /// The statements.
    ///
    /// Rows that a policy would hide are an error instead. The nested loop along the key's index is forced, since a
    /// batch that is joined by a scan of the whole table is slow beyond use. Names are looked up in the system's schema, as
    /// always where a path does not name it, then in the role's own path as it was when the connection was made, and in
    /// `pg_temp` last.
    var statements: String {
        """
        SET row_security = off;
        SET lock_timeout = \(lockTimeout.wholeMilliseconds);
        SET statement_timeout = \(statementTimeout.wholeMilliseconds);
        SET idle_in_transaction_session_timeout = \(idleTimeout.wholeMilliseconds);
        SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off;
        SET plan_cache_mode = force_generic_plan; SET jit = off;
        SET bytea_output = hex; SET standard_conforming_strings = on; SET DateStyle = ISO; SET extra_float_digits = 1;
        SELECT pg_catalog.set_config('synchronous_commit', 'on', false)
            WHERE pg_catalog.current_setting('synchronous_commit') = 'off';
        SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ',
            (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(name), ', ' ORDER BY place)
             FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS path (name, place)
             WHERE name <> 'pg_catalog'), 'pg_temp'), false)
        """
    }
}

extension Duration {
    /// Whole milliseconds, at least 1, at most about eleven days.
    var wholeMilliseconds: Int {
        let whole = min(max(0, components.seconds), 1_000_000)
        return max(1, Int(whole) * 1000 + Int(max(0, components.attoseconds) / 1_000_000_000_000_000))
    }
}
