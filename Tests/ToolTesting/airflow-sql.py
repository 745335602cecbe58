#!/usr/bin/env python3
"""Writes an SQLite database as SQL for PostgreSQL: its tables with their types and keys, and all of their rows.

usage: airflow-sql.py DATABASE
"""

import sqlite3
import sys

TYPES = {"BLOB": "bytea", "DATETIME": "timestamp", "FLOAT": "double precision"}
ROWS_AT_ONCE = 500


def name(text):
    return '"' + text.replace('"', '""') + '"'


def literal(value, kind):
    if value is None:
        return "NULL"
    if kind == "BOOLEAN":
        return "true" if value else "false"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'"
    return "'" + str(value).replace("'", "''") + "'"


def tables(database):
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    return [row[0] for row in database.execute(query)]


database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
print("BEGIN;")
for table in tables(database):
    columns = database.execute(f"PRAGMA table_info({name(table)})").fetchall()
    parts = [
        f"{name(column)} {TYPES.get(kind, kind)}{' NOT NULL' if required else ''}"
        for _, column, kind, required, _, _ in columns
    ]
    key = [column[1] for column in sorted(columns, key=lambda column: column[5]) if column[5]]
    if key:
        parts.append(f"PRIMARY KEY ({', '.join(map(name, key))})")
    print(f"CREATE TABLE {name(table)} ({', '.join(parts)});")
    rows = [
        "(" + ", ".join(literal(value, column[2]) for value, column in zip(row, columns)) + ")"
        for row in database.execute(f"SELECT * FROM {name(table)}")
    ]
    for start in range(0, len(rows), ROWS_AT_ONCE):
        print(f"INSERT INTO {name(table)} VALUES\n" + ",\n".join(rows[start : start + ROWS_AT_ONCE]) + ";")
print("COMMIT;")
