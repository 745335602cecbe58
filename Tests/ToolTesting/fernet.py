#!/usr/bin/env python3
"""Reads and makes Fernet tokens with Python's cryptography, for the tests; knows nothing of Keyturn.

usage: fernet.py read DATABASE KEY     one JSON object: what Airflow reads from each cell, and each token's timestamp
       fernet.py read - KEY            the same for cells on standard input, each a line [name, value, is encrypted]
       fernet.py seal KEY              a token for the text on standard input
       fernet.py open KEY              the text of the token on standard input
"""

import hashlib
import json
import sqlite3
import sys

from cryptography.fernet import Fernet, InvalidToken

CELLS = [
    ("connection", "password", "is_encrypted"),
    ("connection", "extra", "is_extra_encrypted"),
    ("variable", "val", "is_encrypted"),
]


def cells(path):
    if path == "-":
        yield from map(json.loads, sys.stdin)
        return
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    for table, column, flag in CELLS:
        for number, value, is_encrypted in database.execute(f"SELECT id, {column}, {flag} FROM {table} ORDER BY id"):
            yield f"{table}.{column}/{number}", value, is_encrypted


def read(path, key):
    found = {}
    fernet = Fernet(key)
    for name, value, is_encrypted in cells(path):
        cell = {"digest": None, "timestamp": None, "opens": None}
        if value is not None and is_encrypted:
            try:
                text = fernet.decrypt(value.encode())
                cell = {"digest": hashlib.sha256(text).hexdigest(), "timestamp": fernet.extract_timestamp(value.encode())}
                cell["opens"] = True
            except InvalidToken:
                cell["opens"] = False
        elif value is not None:
            cell["digest"] = hashlib.sha256(value.encode()).hexdigest()
        found[name] = cell
    return found


command = sys.argv[1]
if command == "read":
    print(json.dumps(read(sys.argv[2], sys.argv[3])))
elif command == "seal":
    print(Fernet(sys.argv[2]).encrypt(sys.stdin.buffer.read()).decode())
elif command == "open":
    sys.stdout.write(Fernet(sys.argv[2]).decrypt(sys.stdin.buffer.read().strip()).decode())
else:
    sys.exit(__doc__)
