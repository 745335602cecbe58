package import KeyModel
internal import Storage

extension ControlSession {
    /// The version of the schema that this build writes.
    package static var schemaVersion: Int64 { Int64(migrations.count) }

    /// The version of the schema in the database; zero where there is none.
    ///
    /// - Throws: ``StorageError``.
    package func schemaVersion() throws -> Int64 {
        guard try storage.controlTables().contains("schema") else { return 0 }
        return try storage.query("SELECT coalesce(max(version), 0) FROM \(control: "schema")").first?.integer(0) ?? 0
    }

    /// Brings the schema up to this build's version; does nothing where it is.
    ///
    /// - Throws: ``ControlStoreError`` with `storeSchemaNewer`, or ``StorageError``.
    package func migrate(at time: Timestamp) throws {
        try refuseNewerSchema()
        let present = try schemaVersion()
        if present == 0 { try storage.createControlSchema() }
        for (index, statements) in Self.migrations.enumerated() where Int64(index) >= present {
            for statement in statements { try storage.execute(rendered(statement)) }
            try storage.execute("INSERT INTO \(control: "schema") (version, applied_at) VALUES (\(index + 1), \(time))")
        }
    }

    /// Refuses a schema that a newer Keyturn made.
    ///
    /// - Throws: ``ControlStoreError`` with `storeSchemaNewer`.
    package func refuseNewerSchema() throws {
        let present = try schemaVersion()
        guard present <= Self.schemaVersion else {
            throw ControlStoreError(
                .storeSchemaNewer,
                "cannot use the schema keyturn: it has version \(present), this build knows up to \(Self.schemaVersion)",
                hint: "Use the Keyturn that last worked on this database, or a newer one."
            )
        }
    }

    private func rendered(_ table: TableDefinition) -> SQL {
        let columns = table.columns.map { column -> SQL in
            "\(raw: column.name) \(storage.columnType(column.type)) \(raw: column.constraint)"
        }
        let list = columns.dropFirst().reduce(columns.first ?? "") { $0 + ", " + $1 }
        return "CREATE TABLE \(control: table.name) (\(list)\(raw: table.constraint.map { ", " + $0 } ?? ""))"
    }

    /// One list of tables a version, never changed once released.
    private static let migrations: [[TableDefinition]] = [
        [
            TableDefinition("schema", ["version integer PRIMARY KEY", "applied_at text NOT NULL"]),
            TableDefinition(
                "instance",
                [
                    "one integer PRIMARY KEY CHECK (one = 1)", "id text NOT NULL", "namespace text NOT NULL",
                    "nonce text NOT NULL", "epoch integer NOT NULL", "created_at text NOT NULL",
                    "root_key_id text NOT NULL",
                    "escrowed_at text",
                ]
            ),
            TableDefinition(
                "configurations",
                [
                    "number integer PRIMARY KEY", "hash text NOT NULL", "file text NOT NULL", "loaded_at text NOT NULL",
                    "actor text NOT NULL",
                ]
            ),
            TableDefinition(
                "keyrings",
                [
                    "name text PRIMARY KEY", "core text NOT NULL", "options text NOT NULL", "provider text NOT NULL",
                    "consumers text NOT NULL", "max_age_ms integer", "max_seals integer", "keep_ms integer",
                    "backup text NOT NULL", "is_declared integer NOT NULL",
                ]
            ),
            TableDefinition(
                "key_versions",
                [
                    "id integer PRIMARY KEY", "keyring text NOT NULL", "state text NOT NULL",
                    "created_at text NOT NULL",
                    "activated_at text", "deactivated_at text", "retired_at text", "origin text NOT NULL",
                    "seals_reserved integer NOT NULL", "canary blob", "canary_form text",
                ]
            ),
            TableDefinition(
                "key_moves",
                [
                    "number integer PRIMARY KEY", "key_id integer NOT NULL", "from_state text",
                    "to_state text NOT NULL",
                    "at text NOT NULL", "actor text NOT NULL", "reason text NOT NULL",
                ]
            ),
            TableDefinition(
                "wraps",
                [
                    "key_id integer NOT NULL", "provider text NOT NULL", "provider_key_id text NOT NULL",
                    "ciphertext blob NOT NULL", "annotations text NOT NULL", "created_at text NOT NULL",
                ],
                constraint: "PRIMARY KEY (key_id, provider, provider_key_id)"
            ),
            TableDefinition(
                "columns",
                [
                    "id integer PRIMARY KEY", "logical_name text NOT NULL UNIQUE", "path text NOT NULL",
                    "keyring text NOT NULL", "key_columns text NOT NULL", "context integer NOT NULL", "predicate text",
                    "plaintext text NOT NULL", "assignments text NOT NULL", "is_declared integer NOT NULL",
                    "is_fenced integer NOT NULL",
                ]
            ),
            TableDefinition(
                "fences",
                [
                    "column_id integer NOT NULL", "form text NOT NULL", "first_at integer", "first blob",
                    "second_at integer", "second blob", "key_id integer",
                ]
            ),
            TableDefinition(
                "runs",
                [
                    "id integer PRIMARY KEY", "kind text NOT NULL", "urgency text NOT NULL", "keyring text NOT NULL",
                    "column_ids text NOT NULL", "phase text NOT NULL", "state text NOT NULL", "request text NOT NULL",
                    "new_key integer", "old_keys text NOT NULL", "plan text NOT NULL", "plan_hash text NOT NULL",
                    "configuration_hash text NOT NULL", "actor text NOT NULL", "started_at text NOT NULL",
                    "updated_at text NOT NULL", "finished_at text", "message text", "proof text",
                ]
            ),
            TableDefinition(
                "run_steps",
                [
                    "run_id integer NOT NULL", "number integer NOT NULL", "at text NOT NULL", "phase text NOT NULL",
                    "what text NOT NULL",
                ],
                constraint: "PRIMARY KEY (run_id, number)"
            ),
            TableDefinition(
                "run_progress",
                [
                    "run_id integer NOT NULL", "column_id integer NOT NULL", "phase text NOT NULL", "cursor blob",
                    "is_done integer NOT NULL", "sweep integer NOT NULL", "rows_read integer NOT NULL",
                    "rows_written integer NOT NULL", "rows_missed integer NOT NULL", "rows_skipped integer NOT NULL",
                    "rows_quarantined integer NOT NULL", "bytes_written integer NOT NULL",
                    "expected_rows integer NOT NULL",
                    "census text",
                ],
                constraint: "PRIMARY KEY (run_id, column_id, phase)"
            ),
            TableDefinition(
                "run_windows",
                [
                    "run_id integer NOT NULL", "column_id integer NOT NULL", "phase text NOT NULL",
                    "number integer NOT NULL", "batches_done integer NOT NULL", "rows_written integer NOT NULL",
                    "rows_missed integer NOT NULL", "bytes_written integer NOT NULL",
                ],
                constraint: "PRIMARY KEY (run_id, column_id, phase, number)"
            ),
            TableDefinition(
                "quarantine",
                [
                    "run_id integer NOT NULL", "column_id integer NOT NULL", "row_key blob NOT NULL",
                    "shown_key text NOT NULL", "reason text NOT NULL", "at text NOT NULL",
                ],
                constraint: "PRIMARY KEY (run_id, column_id, row_key)"
            ),
            TableDefinition(
                "acknowledgements",
                [
                    "run_id integer NOT NULL", "consumer text NOT NULL", "stage text NOT NULL", "at text NOT NULL",
                    "actor text NOT NULL",
                ],
                constraint: "PRIMARY KEY (run_id, consumer, stage)"
            ),
            TableDefinition(
                "leases",
                [
                    "name text PRIMARY KEY", "holder text NOT NULL", "node text NOT NULL", "epoch integer NOT NULL",
                    "expires_at text NOT NULL",
                ]
            ),
        ],
        // The audit log, and what hooks and schedules may call.
        [
            TableDefinition(
                "audit",
                [
                    "number integer PRIMARY KEY", "kind text NOT NULL", "at text NOT NULL", "node text NOT NULL",
                    "process text NOT NULL", "uid integer", "user_name text NOT NULL", "peer_pid integer",
                    "way text NOT NULL", "call text NOT NULL", "arguments text NOT NULL", "intent integer",
                    "result text", "detail text", "hash text NOT NULL", "signer text NOT NULL",
                    "signature text NOT NULL",
                ]
            ),
            TableDefinition(
                "audit_head",
                ["one integer PRIMARY KEY CHECK (one = 1)", "number integer NOT NULL", "hash text NOT NULL"]
            ),
            TableDefinition("audit_open", ["number integer PRIMARY KEY", "node text NOT NULL"]),
            TableDefinition(
                "grants",
                [
                    "configuration_hash text PRIMARY KEY", "calls text NOT NULL", "actor text NOT NULL",
                    "at text NOT NULL",
                ]
            ),
        ],
        // What hooks did in runs.
        [
            TableDefinition(
                "run_hooks",
                [
                    "attempt text PRIMARY KEY", "run_id integer NOT NULL", "stage text NOT NULL",
                    "number integer NOT NULL", "file text NOT NULL", "line integer NOT NULL", "state text NOT NULL",
                    "started_at text NOT NULL", "finished_at text", "output text NOT NULL", "message text",
                ]
            )
        ],
        // The catalogue of backups, and keys that are destroyed.
        [
            TableDefinition(
                "backups",
                [
                    "id integer PRIMARY KEY", "method text NOT NULL", "location text NOT NULL",
                    "bytes integer NOT NULL", "sha256 text NOT NULL", "started_at text NOT NULL",
                    "finished_at text NOT NULL", "run_id integer", "stage text NOT NULL", "level integer NOT NULL",
                    "verified_at text NOT NULL", "expires_at text", "is_pinned integer NOT NULL",
                    "is_scanned integer NOT NULL", "is_doomed integer NOT NULL", "manifest text NOT NULL",
                ]
            ),
            TableDefinition(
                "backup_keys", ["backup_id integer NOT NULL", "key_id integer NOT NULL", "place text NOT NULL"],
                constraint: "PRIMARY KEY (backup_id, key_id, place)"
            ),
            TableDefinition(
                "backup_wrappers",
                ["backup_id integer NOT NULL", "provider text NOT NULL", "provider_key_id text NOT NULL"],
                constraint: "PRIMARY KEY (backup_id, provider, provider_key_id)"
            ),
            TableDefinition(
                "drills",
                [
                    "number integer PRIMARY KEY", "at text NOT NULL", "backup_id integer NOT NULL",
                    "is_passed integer NOT NULL", "took_ms integer NOT NULL", "report text NOT NULL",
                    "actor text NOT NULL",
                ]
            ),
            TableDefinition(
                "destructions",
                [
                    "id integer PRIMARY KEY", "keyring text NOT NULL", "keys text NOT NULL", "state text NOT NULL",
                    "requested_at text NOT NULL", "requested_by text NOT NULL", "reason text NOT NULL",
                    "due_at text NOT NULL", "approved_by text", "finished_at text", "report text NOT NULL",
                ]
            ),
        ],
        // The programs that may be executed as key providers.
        [
            TableDefinition(
                "plugins",
                [
                    "name text PRIMARY KEY", "path text NOT NULL", "sha256 text NOT NULL", "kind text NOT NULL",
                    "version text NOT NULL", "registered_at text NOT NULL", "registered_by text NOT NULL",
                ]
            )
        ],
        // Keys that the customer brings: what was agreed, where each provider stands, and what is not under it yet.
        [
            TableDefinition(
                "byok",
                [
                    "one integer PRIMARY KEY", "external_id text NOT NULL", "allow_return integer NOT NULL",
                    "described_role text",
                ]
            ),
            TableDefinition(
                "byok_providers",
                [
                    "provider text PRIMARY KEY", "tested_settings text NOT NULL", "tested_at text NOT NULL",
                    "is_passed integer NOT NULL", "checks text NOT NULL", "saved_settings text", "saved_at text",
                    "saved_by text",
                ]
            ),
            TableDefinition(
                "byok_exposures",
                [
                    "key_id integer NOT NULL", "keyring text NOT NULL", "provider text NOT NULL",
                    "provider_key_id text NOT NULL", "since text NOT NULL",
                ],
                constraint: "PRIMARY KEY (key_id, provider, provider_key_id)"
            ),
            TableDefinition(
                "byok_keyrings", ["keyring text PRIMARY KEY", "provider text NOT NULL", "moved_at text NOT NULL"]),
        ],
        schedulerTables,
        [TableDefinition("served_keys", ["key_id integer PRIMARY KEY", "since text NOT NULL"])],
        // The numbers of backups are never given twice.
        [TableDefinition("backup_numbers", ["one integer PRIMARY KEY CHECK (one = 1)", "last integer NOT NULL"])],
        // What the declaration of a column says is known.
        [
            TableDefinition(
                "column_acknowledgements", ["column_id integer NOT NULL", "what text NOT NULL"],
                constraint: "PRIMARY KEY (column_id, what)")
        ],
        // How often providers were called: by days, and by runs.
        [
            TableDefinition(
                "provider_calls",
                [
                    "day text NOT NULL", "provider text NOT NULL", "wraps integer NOT NULL",
                    "unwraps integer NOT NULL", "looks integer NOT NULL", "tests integer NOT NULL",
                    "turns integer NOT NULL",
                ],
                constraint: "PRIMARY KEY (day, provider)"
            ),
            TableDefinition(
                "run_provider_calls",
                [
                    "run_id integer NOT NULL", "provider text NOT NULL", "call text NOT NULL",
                    "calls integer NOT NULL",
                ],
                constraint: "PRIMARY KEY (run_id, provider, call)"
            ),
        ],
    ]

    /// What the scheduler remembers.
    private static let schedulerTables = [
        TableDefinition(
            "scheduler",
            [
                "one integer PRIMARY KEY CHECK (one = 1)", "revision integer NOT NULL", "clock_high text",
                "clock_steps integer NOT NULL", "alert text",
            ]
        ),
        TableDefinition(
            "schedules",
            [
                "name text PRIMARY KEY", "hash text NOT NULL", "activated_at text NOT NULL", "watermark text",
                "watermark_local text", "zone text NOT NULL", "zone_version text NOT NULL", "pending text",
                "paused_at text", "paused_by text", "paused_reason text", "last_started_at text",
                "last_success_at text", "expected_ms integer NOT NULL", "missed integer NOT NULL",
                "skipped text NOT NULL", "function_failures integer NOT NULL", "function_value text",
                "alert text", "is_declared integer NOT NULL",
            ]
        ),
        TableDefinition(
            "occurrences",
            [
                "schedule text NOT NULL", "nominal text NOT NULL", "nominal_local text NOT NULL",
                "zone text NOT NULL", "zone_version text NOT NULL", "reason text NOT NULL", "state text NOT NULL",
                "ignores_window integer NOT NULL", "attempt integer NOT NULL", "epoch integer NOT NULL",
                "run_id integer", "passed_over integer NOT NULL", "claimed_at text NOT NULL", "started_at text",
                "updated_at text NOT NULL", "finished_at text", "next_attempt_at text", "message text",
            ],
            constraint: "PRIMARY KEY (schedule, nominal)"
        ),
        TableDefinition(
            "occurrence_steps",
            [
                "number integer PRIMARY KEY", "at text NOT NULL", "schedule text NOT NULL", "nominal text NOT NULL",
                "epoch integer NOT NULL", "what text NOT NULL",
            ]
        ),
        TableDefinition(
            "schedule_requests",
            [
                "number integer PRIMARY KEY", "schedule text NOT NULL", "kind text NOT NULL", "at text NOT NULL",
                "actor text NOT NULL", "ignores_window integer NOT NULL", "range_start text", "range_end text",
                "handled_at text", "outcome text",
            ]
        ),
    ]
}

/// A table of the control schema, written as `name type constraint` a column.
private struct TableDefinition {
    struct Column {
        let name: String
        let type: ControlType
        let constraint: String
    }

    let name: String
    let columns: [Column]
    let constraint: String?

    init(_ name: String, _ columns: [String], constraint: String? = nil) {
        self.name = name
        self.columns = columns.map { text in
            let words = text.split(separator: " ", maxSplits: 2)
            guard words.count >= 2, let type = ControlType(rawValue: String(words[1])) else {
                preconditionFailure("column definition \"\(text)\"")
            }
            return Column(name: String(words[0]), type: type, constraint: words.count > 2 ? String(words[2]) : "")
        }
        self.constraint = constraint
    }
}
