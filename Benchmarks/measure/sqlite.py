"""Rewriting 300,000 rows in SQLite, against one UPDATE statement with a bare C function, and how long the lock is held."""

import hashlib
import statistics
import subprocess
import threading
import time

from .instance import Instance
from .report import Figure

ROWS = 300_000
# 48 bytes of plaintext and 72 of kr1 are the 120 bytes of a stored value.
PLAINTEXT_BYTES = 48
PAIRS = 5
LOCK_RUNS = 3
RATIO_BAR = 0.12
LOCK_BAR_MS = 25


def measure(place):
    instance = Instance(place.scratch / "sqlite", place.built("keyturn"), "kr1")
    instance.create(plaintexts(ROWS), "BLOB")
    instance.keep()
    pairs = [pair(place, instance, number) for number in range(PAIRS)]
    reencrypt = [ours["phases"]["reencrypt"] for _, ours in pairs]
    ratio = statistics.median(peer / ours["phases"]["reencrypt"] for peer, ours in pairs)
    whole = statistics.median(peer / ours["wall"] for peer, ours in pairs)
    watched = [locks(place, instance) for _ in range(LOCK_RUNS)]
    spans = [span for run in watched for span in run]
    # A batch that is too large shows in every rotation, a process that was not running while it held the lock in some.
    calmest = min(max(run) for run in watched)
    figures = [
        Figure("sqlite: re-encrypting, against one UPDATE", ratio, "times the speed", at_least=RATIO_BAR),
        Figure("sqlite: the whole run, against one UPDATE", whole, "times the speed"),
        Figure("sqlite: re-encrypting", ROWS / statistics.median(reencrypt), "rows/s"),
        Figure("sqlite: one UPDATE", ROWS / statistics.median(peer for peer, _ in pairs), "rows/s"),
        Figure("sqlite: write lock held, longest of the calmest run", calmest / 1000, "ms", at_most=LOCK_BAR_MS),
        Figure("sqlite: write lock held, longest of all", max(spans) / 1000, "ms"),
        Figure("sqlite: write lock held, 99 in 100 below", quantile(spans, 0.99) / 1000, "ms"),
        Figure("sqlite: write lock held, median", statistics.median(spans) / 1000, "ms"),
    ]
    detail = {"rows": ROWS, "pairs": [{"update": peer, "rotate": ours} for peer, ours in pairs], "locks_us": spans}
    return figures, detail


def pair(place, instance, number):
    """One measurement of each side on the same bytes; which one comes first alternates."""
    if number % 2 == 0:
        peer = update(place, instance)
        return peer, rotate(instance)
    ours = rotate(instance)
    return update(place, instance), ours


def update(place, instance):
    instance.restore()
    done = subprocess.run(
        [place.compiled("update", "sqlite3"), str(instance.database)], capture_output=True, text=True, check=True
    )
    seconds, rows = done.stdout.split()
    if int(rows) != ROWS:
        raise RuntimeError(f"the peer changed {rows} rows")
    return float(seconds)


def rotate(instance):
    instance.restore()
    result = instance.rotate()
    if result["rows"] != ROWS:
        raise RuntimeError(f"the rotation wrote {result['rows']} rows")
    return result


def locks(place, instance):
    """The times that the write lock was held in one rotation, in microseconds; watched, never taken."""
    instance.restore()
    stop = place.scratch / "stop"
    stop.unlink(missing_ok=True)
    watching = []
    thread = threading.Thread(target=lambda: watching.append(watch(place, instance, stop)))
    thread.start()
    instance.rotate()
    stop.touch()
    thread.join()
    spans = [float(line) for line in watching[0].split()] if watching else []
    # A batch is a thousand rows; a watcher that saw fewer holds than batches saw nothing worth telling.
    if len(spans) < ROWS // 1000:
        raise RuntimeError(f"only {len(spans)} holds of the lock were seen")
    return spans


def watch(place, instance, stop):
    shared = instance.database.with_name(instance.database.name + "-shm")
    while not shared.exists():
        time.sleep(0.001)
    done = subprocess.run(
        [place.compiled("locks"), str(shared), str(stop)], capture_output=True, text=True, check=True
    )
    return done.stdout


def plaintexts(count):
    """Bytes of hexadecimal digits: random ones may begin like a value that is sealed, and such are never adopted."""
    for number in range(count):
        yield hashlib.sha256(str(number).encode()).hexdigest()[:PLAINTEXT_BYTES].encode()


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
