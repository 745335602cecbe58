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
# What SQLite does unless it is told otherwise, and so what stands under most such loops.
DEFAULT_JOURNAL = "delete"


def measure(place):
    default = Comparison(place, DEFAULT_JOURNAL, ["fernet", "kr1"])
    wal = Comparison(place, "wal", ["fernet"])
    figures = [
        Figure(
            "fernet: re-encrypting, against the loop in Python", default.ratio("fernet"), "times the speed", at_least=BAR
        ),
        Figure("fernet: the whole run, against the loop", default.whole("fernet"), "times the speed"),
        Figure("kr1: re-encrypting, against the loop", default.ratio("kr1"), "times the speed"),
        Figure("fernet: the loop in Python", default.loop, "rows/s"),
        Figure("fernet: re-encrypting", default.speed("fernet"), "rows/s"),
        Figure("fernet in WAL mode: re-encrypting, against the loop", wal.ratio("fernet"), "times the speed"),
        Figure("fernet in WAL mode: the loop in Python", wal.loop, "rows/s"),
    ]
    return figures, {"rows": ROWS, DEFAULT_JOURNAL: default.detail, "wal": wal.detail}


class Comparison:
    """The loop and rotations, on databases of the same kind; the faster of two loops counts."""

    def __init__(self, place, journal, cores):
        loops = [per_row(place, journal) for _ in range(2)]
        self.loop = ROWS / min(loops)
        self.runs = {core: rotations(place, core, journal) for core in cores}
        self.detail = {"loop_seconds": loops, "rotations": self.runs}

    def speed(self, core):
        return ROWS / statistics.median(run["phases"]["reencrypt"] for run in self.runs[core])

    def ratio(self, core):
        return self.speed(core) / self.loop

    def whole(self, core):
        return ROWS / statistics.median(run["wall"] for run in self.runs[core]) / self.loop


def per_row(place, journal):
    """The seconds that the loop takes."""
    file = place.scratch / "loop.db"
    for old in place.scratch.glob("loop.db*"):
        old.unlink()
    old, new = Fernet(Fernet.generate_key()), Fernet(Fernet.generate_key())
    fill(file, (old.encrypt(value).decode() for value in secrets(ROWS)), "TEXT", journal)
    database = sqlite3.connect(file)
    both = MultiFernet([new, old])
    start = time.monotonic()
    for key, token in database.execute("SELECT id, c FROM t").fetchall():
        database.execute("UPDATE t SET c = ? WHERE id = ?", (both.rotate(token.encode()).decode(), key))
        database.commit()
    took = time.monotonic() - start
    database.close()
    return took


def rotations(place, core, journal):
    instance = Instance(place.scratch / f"{core}-{journal}", place.built("keyturn"), core, journal)
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
