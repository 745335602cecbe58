"""Rotating 10,000 Fernet tokens, against the loop that people write: open, seal, update, commit, row by row."""

import sqlite3
import statistics
import time

from cryptography.fernet import Fernet, MultiFernet

from .instance import Instance, fill
from .report import Figure

ROWS = 10_000
RUNS = 5
BAR = 50


def measure(place):
    loop = [per_row(place) for _ in range(2)]
    ours = {core: rotations(place, core) for core in ("fernet", "kr1")}
    theirs = ROWS / min(loop)
    speeds = {core: ROWS / statistics.median(run["phases"]["reencrypt"] for run in runs) for core, runs in ours.items()}
    whole = ROWS / statistics.median(run["wall"] for run in ours["fernet"])
    figures = [
        Figure("fernet: re-encrypting, against the loop in Python", speeds["fernet"] / theirs, "times the speed", at_least=BAR),
        Figure("fernet: the whole run, against the loop", whole / theirs, "times the speed"),
        Figure("kr1: re-encrypting, against the loop", speeds["kr1"] / theirs, "times the speed"),
        Figure("fernet: the loop in Python", theirs, "rows/s"),
        Figure("fernet: re-encrypting", speeds["fernet"], "rows/s"),
    ]
    return figures, {"rows": ROWS, "loop_seconds": loop, "rotations": ours}


def per_row(place):
    """The loop, on a database in WAL mode, which is the kinder one to it; the faster of its runs counts."""
    file = place.scratch / "loop.db"
    for old in place.scratch.glob("loop.db*"):
        old.unlink()
    old, new = Fernet(Fernet.generate_key()), Fernet(Fernet.generate_key())
    fill(file, (old.encrypt(value).decode() for value in secrets(ROWS)), "TEXT")
    database = sqlite3.connect(file)
    both = MultiFernet([new, old])
    start = time.monotonic()
    for key, token in database.execute("SELECT id, c FROM t").fetchall():
        database.execute("UPDATE t SET c = ? WHERE id = ?", (both.rotate(token.encode()).decode(), key))
        database.commit()
    took = time.monotonic() - start
    database.close()
    return took


def rotations(place, core):
    instance = Instance(place.scratch / f"rows-{core}", place.built("keyturn"), core)
    if core == "fernet":
        key = Fernet.generate_key()
        instance.create((Fernet(key).encrypt(value).decode() for value in secrets(ROWS)), "TEXT", key)
    else:
        instance.create((value.decode() for value in secrets(ROWS)), "TEXT")
    instance.keep()
    runs = []
    for _ in range(RUNS):
        instance.restore()
        runs.append(instance.rotate())
    return runs


def secrets(count):
    for number in range(count):
        yield f"secret-{number:07d}-".encode().ljust(80, b"x")
