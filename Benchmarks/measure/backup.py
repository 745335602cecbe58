"""Making a backup, with the least proof, against `pg_dump` and `sqlite3 .backup` of the same database; and what each level
of proof adds."""

import hashlib
import os
import statistics
import subprocess
import time

from .cluster import Cluster
from .instance import Instance
from .postgresql import NARROW
from .report import Figure
from .served import ServedInstance

BYTES = int(os.environ.get("KEYTURN_BENCH_BYTES", 1_000_000_000))
ROW_BYTES = 264
PAIRS = 3
DUMP_BAR = 1.15
# Nothing of a smaller database can be told from starting programs, so there no bar is held.
LEAST_BYTES = 200_000_000
# No backup is listed with less: what is stored is read once more, hashed, and its beginning looked at.
LEAST = "format"
LEVELS = ("checksums", "restore")


def measure(place):
    figures, details = [], {"bytes": BYTES}
    cluster = Cluster(place)
    try:
        subject = ServedInstance(place.scratch / "dumped", place.built("keyturn"), cluster, "dumped")
        subject.create(NARROW, BYTES // ROW_BYTES, "bytea")
        found, details["postgresql"] = compare("postgresql", "pg_dump", subject, dump(subject))
        figures += found
        subject.drop()
    finally:
        cluster.stop()
    subject = Instance(place.scratch / "copied", place.built("keyturn"), "kr1")
    subject.create(values(BYTES // ROW_BYTES), "BLOB")
    found, details["sqlite"] = compare("sqlite", "sqlite3 .backup", subject, copy(subject))
    figures += found
    place.discard(subject.folder)
    return figures, details


def compare(engine, name, subject, peer):
    """Pairs of ours and the peer; which one comes first alternates. The levels follow, each against creating alone."""
    declare(subject)
    backup(subject, LEAST)
    peer()
    pairs = []
    for number in range(PAIRS):
        if number % 2 == 0:
            theirs, ours = peer(), backup(subject, LEAST)
        else:
            ours, theirs = backup(subject, LEAST), peer()
        pairs.append({"theirs": theirs, "ours": ours})
    ratio = statistics.median(pair["ours"] / pair["theirs"] for pair in pairs)
    ours = statistics.median(pair["ours"] for pair in pairs)
    bar = DUMP_BAR if engine == "postgresql" and BYTES >= LEAST_BYTES else None
    figures = [
        Figure(f"backup: {engine}, creating it, against {name}", ratio, "times the time", at_most=bar),
        Figure(f"backup: {engine}, creating it", BYTES / ours / 1e6, "MB/s of rows"),
    ]
    levels = {}
    for level in LEVELS:
        levels[level] = backup(subject, level)
        figures.append(
            Figure(f"backup: {engine}, proved by {level}, against creating it", levels[level] / ours, "times the time")
        )
    return figures, {"pairs": pairs, "levels": levels}


def declare(subject):
    """Declares encrypted backups, as the guide does."""
    key = subject.folder / "age.txt"
    subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
    recipient = subprocess.run(["age-keygen", "-y", str(key)], check=True, capture_output=True, text=True).stdout
    with open(subject.folder / "keyturn.lua", "a", encoding="utf-8") as file:
        file.write(f'backup {{ directory = "backups", recipient = "{recipient.strip()}", keep = 2 }}\n')


def backup(subject, level):
    """The seconds that a backup takes; it is removed afterwards, except for what stays in any case."""
    os.sync()
    start = time.monotonic()
    subject.run("backup", "create", "--verify", level, "-o", "json")
    took = time.monotonic() - start
    subject.run("backup", "prune", "--yes")
    return took


def dump(subject):
    """`pg_dump` of the same database in the same format into a file, durable at its end as ours is."""
    target = subject.folder / "peer.dump"
    words = [subject.cluster.program("pg_dump"), "-Fc", "-f", str(target), "-d", subject.cluster.url(subject.name)]
    return lambda: timed(words, target)


def copy(subject):
    """`sqlite3 .backup` of the same database."""
    target = subject.folder / "peer.db"
    return lambda: timed(["sqlite3", str(subject.database), f".backup '{target}'"], target)


def timed(words, target):
    os.sync()
    start = time.monotonic()
    subprocess.run(words, check=True)
    took = time.monotonic() - start
    target.unlink()
    return took


def values(count):
    """Plaintexts of 48 bytes."""
    for number in range(count):
        yield hashlib.sha256(str(number).encode()).hexdigest()[:48].encode()
