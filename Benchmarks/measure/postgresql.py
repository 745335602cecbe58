"""Rotating a million rows in PostgreSQL, against one UPDATE statement without a cipher; disk, memory, live traffic."""

import os
import signal
import statistics
import subprocess
import threading
import time

from cryptography.fernet import Fernet, MultiFernet

from .cluster import Cluster
from .report import Figure
from .served import ServedInstance

ROWS = 1_000_000
WIDE_ROWS = 100_000
PAIRS = 5
SPEED_BAR = 1.0
NARROW_BAR, WIDE_BAR = 0.15, 0.12
LOOP_ROWS = 10_000
LOOP_BAR, MANY_BAR = 80, 3
MEMORY_ROWS = [100_000, ROWS, 5_000_000]
PEAK_BAR_MIB, FLAT_BAR = 200, 1.5
LIVE_PAIRS, LIVE_SECONDS, LIVE_RATE, LIVE_BAR = 5, 12, 10_000, 2

# 48 bytes of plaintext and 72 of kr1 are the 120 bytes of a stored value; as hexadecimal digits, since random bytes may
# begin like a value that is sealed.
NARROW = "convert_to(substr(encode(sha256(i::text::bytea), 'hex'), 1, 48), 'UTF8')"
# 2,048 bytes as they are stored.
WIDE = (
    "convert_to(substr((SELECT string_agg(encode(sha256((i || '-' || k)::bytea), 'hex'), '')"
    " FROM generate_series(1, 31) AS k), 1, 1976), 'UTF8')"
)
PEER = "UPDATE t SET c = overlay(c PLACING '\\x02' FROM 4 FOR 1)"


def measure(place):
    cluster = Cluster(place)
    try:
        figures, details = [], {}
        for name, part in {"speed": speed, "wide": wide, "loops": loops, "memory": memory, "live": live}.items():
            wanted = os.environ.get("KEYTURN_BENCH_PARTS", "").split(",")
            if wanted != [""] and name not in wanted:
                continue
            found, details[name] = part(place, cluster)
            figures += found
        return figures, details
    finally:
        cluster.stop()


def instance(place, cluster, name, core="kr1"):
    return ServedInstance(place.scratch / name, place.built("keyturn"), cluster, name, core)


def speed(place, cluster):
    """Pairs of a rotation and the peer on the same bytes; which one comes first alternates."""
    subject = instance(place, cluster, "narrow")
    subject.create(NARROW, ROWS, "bytea")
    subject.repack()
    subject.keep()
    pairs = []
    for number in range(PAIRS):
        if number % 2 == 0:
            peer = update(subject)
            ours = rotate(subject, ROWS)
        else:
            ours = rotate(subject, ROWS)
            peer = update(subject)
        pairs.append({"update": peer, "rotate": ours})
    subject.drop()
    seconds = [pair["rotate"]["phases"]["reencrypt"] for pair in pairs]
    ratio = statistics.median(pair["update"]["seconds"] / pair["rotate"]["phases"]["reencrypt"] for pair in pairs)
    whole = statistics.median(pair["update"]["seconds"] / pair["rotate"]["wall"] for pair in pairs)
    growth = statistics.median(pair["rotate"]["growth"] for pair in pairs)
    figures = [
        Figure("postgresql: re-encrypting, against one UPDATE", ratio, "times the speed", at_least=SPEED_BAR),
        Figure("postgresql: the whole run, against one UPDATE", whole, "times the speed"),
        Figure("postgresql: re-encrypting", ROWS / statistics.median(seconds), "rows/s"),
        Figure(
            "postgresql: one UPDATE", ROWS / statistics.median(pair["update"]["seconds"] for pair in pairs), "rows/s"
        ),
        Figure("postgresql: peak extra disk, narrow values", growth, "of the table", at_most=NARROW_BAR),
        Figure(
            "postgresql: the same of one UPDATE", statistics.median(pair["update"]["growth"] for pair in pairs),
            "of the table",
        ),
    ]
    return figures, {"rows": ROWS, "pairs": pairs}


def wide(place, cluster):
    """Values of 2 KiB, which stand out of line."""
    subject = instance(place, cluster, "wide")
    subject.create(WIDE, WIDE_ROWS, "bytea")
    subject.repack()
    subject.keep()
    runs = [rotate(subject, WIDE_ROWS) for _ in range(3)]
    subject.drop()
    growth = statistics.median(run["growth"] for run in runs)
    seconds = statistics.median(run["phases"]["reencrypt"] for run in runs)
    figures = [
        Figure("postgresql: peak extra disk, values of 2 KiB", growth, "of the table", at_most=WIDE_BAR),
        Figure("postgresql: re-encrypting values of 2 KiB", WIDE_ROWS / seconds, "rows/s"),
    ]
    return figures, {"rows": WIDE_ROWS, "runs": runs}


def update(subject):
    """The seconds that one statement takes, with its commit; the fence, which it would pay for, is taken off."""
    subject.restore()
    triggers = subject.cluster.run(subject.name, "SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass")
    subject.cluster.run(subject.name, *(f"DROP TRIGGER {name} ON t" for (name,) in triggers), "SELECT 1")
    size = Size(subject)
    connection = subject.cluster.connect(subject.name)
    with size, connection.cursor() as cursor:
        start = time.monotonic()
        cursor.execute(PEER)
        took = time.monotonic() - start
        if cursor.rowcount != ROWS:
            raise RuntimeError(f"the peer changed {cursor.rowcount} rows")
    connection.close()
    return {"seconds": took, "growth": size.growth}


def rotate(subject, rows):
    subject.restore()
    size = Size(subject)
    with size:
        result = subject.rotate()
    if result["rows"] != rows:
        raise RuntimeError(f"the rotation wrote {result['rows']} rows")
    return result | {"growth": size.growth}


class Size:
    """Watches how large the table gets on disk, with its indexes and what stands out of line.

    The files are looked at, not the server: a query has a snapshot, which is what keeps room from being used again.
    """

    def __init__(self, subject):
        self.folder = subject.cluster.data
        query = """
            SELECT pg_relation_filepath(oid) FROM pg_class WHERE oid = 't'::regclass
                OR oid = (SELECT reltoastrelid FROM pg_class WHERE oid = 't'::regclass)
                OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 't'::regclass
                    OR indrelid = (SELECT reltoastrelid FROM pg_class WHERE oid = 't'::regclass))
        """
        self.files = [self.folder / path for (path,) in subject.cluster.run(subject.name, query)]
        self.before = self.peak = self.look()
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def look(self):
        """The bytes of all files: those of a relation are its number, perhaps with a suffix."""
        found = (part for file in self.files for part in (file, *file.parent.glob(f"{file.name}[._]*")))
        return sum(part.stat().st_size for part in found if part.exists())

    def watch(self):
        while not self.is_over.wait(0.1):
            self.peak = max(self.peak, self.look())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()
        self.peak = max(self.peak, self.look())

    @property
    def growth(self):
        return self.peak / self.before - 1


def loops(place, cluster):
    """The loops that people write, in Python; the faster of two of each counts."""
    key = Fernet.generate_key()
    subject = instance(place, cluster, "tokens", "fernet")
    subject.make("text")
    old = Fernet(key)
    connection = cluster.connect(subject.name)
    with connection.cursor() as cursor:
        for number in range(1, LOOP_ROWS + 1):
            token = old.encrypt(f"secret-{number:07d}-".encode().ljust(80, b"x")).decode()
            row = (number, f"source-{number:07d}", f"db{number % 97}", f"svc_{number % 1000}", "note", token)
            cursor.execute("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s)", row)
    connection.close()
    subject.begin(key)
    subject.repack()
    subject.keep()
    new = MultiFernet([Fernet(Fernet.generate_key()), old])
    single, many = [], []
    ours = []
    for _ in range(3):
        single.append(loop(subject, new, one_by_one))
        many.append(loop(subject, new, by_thousands))
        ours.append(rotate(subject, LOOP_ROWS))
    subject.drop()
    speed_of_ours = LOOP_ROWS / statistics.median(run["phases"]["reencrypt"] for run in ours)
    per_row, per_thousand = LOOP_ROWS / min(single), LOOP_ROWS / min(many)
    figures = [
        Figure(
            "postgresql: Fernet, against the loop in Python", speed_of_ours / per_row, "times the speed",
            at_least=LOOP_BAR,
        ),
        Figure(
            "postgresql: Fernet, against executemany of 1,000", speed_of_ours / per_thousand, "times the speed",
            at_least=MANY_BAR,
        ),
        Figure("postgresql: Fernet, re-encrypting 10,000 rows", speed_of_ours, "rows/s"),
        Figure("postgresql: the loop in Python", per_row, "rows/s"),
        Figure("postgresql: executemany of 1,000", per_thousand, "rows/s"),
    ]
    return figures, {"rows": LOOP_ROWS, "per_row": single, "executemany": many, "rotations": ours}


def loop(subject, fernet, body):
    subject.restore()
    triggers = subject.cluster.run(subject.name, "SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass")
    subject.cluster.run(subject.name, *(f"DROP TRIGGER {name} ON t" for (name,) in triggers), "SELECT 1")
    connection = subject.cluster.connect(subject.name)
    connection.autocommit = False
    start = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, c FROM t")
        body(connection, cursor, fernet, cursor.fetchall())
    took = time.monotonic() - start
    connection.close()
    return took


def one_by_one(connection, cursor, fernet, rows):
    for key, token in rows:
        cursor.execute("UPDATE t SET c = %s WHERE id = %s", (fernet.rotate(token.encode()).decode(), key))
        connection.commit()


def by_thousands(connection, cursor, fernet, rows):
    for start in range(0, len(rows), 1000):
        values = [(fernet.rotate(token.encode()).decode(), key) for key, token in rows[start : start + 1000]]
        cursor.executemany("UPDATE t SET c = %s WHERE id = %s", values)
        connection.commit()


def memory(place, cluster):
    """The peak memory of rotations; sealed values are bound to their column, so that rows can be multiplied as they are."""
    subject = instance(place, cluster, "many")
    subject.create(NARROW, MEMORY_ROWS[0], "bytea")
    peaks = {}
    present = MEMORY_ROWS[0]
    for rows in MEMORY_ROWS:
        if rows > present:
            columns = "name || k, host, login, note, c"
            subject.cluster.run(
                subject.name,
                f"INSERT INTO t SELECT id + k * {present}::int8, {columns} FROM t, generate_series(1, {rows // present - 1}) AS k",
                "VACUUM (ANALYZE) t", "CHECKPOINT",
            )
            present = rows
        peaks[rows] = subject.rotate()["peak_mib"]
    subject.drop()
    most = max(peaks.values())
    figures = [
        Figure(f"postgresql: peak memory, up to {MEMORY_ROWS[-1]:,} rows", most, "MiB", at_most=PEAK_BAR_MIB),
        Figure(
            f"postgresql: {MEMORY_ROWS[-1]:,} rows, against {MEMORY_ROWS[0]:,}",
            peaks[MEMORY_ROWS[-1]] / peaks[MEMORY_ROWS[0]], "times", at_most=FLAT_BAR,
        ),
    ]
    return figures, {"peak_mib": peaks}


TRAFFIC = """
\\set id random(1, {rows})
\\set kind random(1, 10)
\\if :kind <= 7
SELECT host, c FROM t WHERE id = :id;
\\else
UPDATE t SET note = 'touched' WHERE id = :id;
\\endif
"""


def live(place, cluster):
    """How long an application's transactions take beside a rotation that is held down, against without one."""
    subject = instance(place, cluster, "live")
    subject.create(NARROW, ROWS, "bytea")
    subject.repack()
    subject.keep()
    windows = {"without": [], "with": []}
    for number in range(LIVE_PAIRS):
        order = ["without", "with"] if number % 2 == 0 else ["with", "without"]
        for kind in order:
            subject.restore()
            windows[kind].append(window(place, subject, kind == "with"))
    subject.drop()

    def median(kind, share):
        return statistics.median(quantile(latencies, share) for latencies in windows[kind])

    ratios = [quantile(b, 0.99) / quantile(a, 0.99) for a, b in zip(windows["without"], windows["with"])]
    figures = [
        Figure(
            f"postgresql: live p99 beside {LIVE_RATE:,} rows/s, against without", median("with", 0.99) / median("without", 0.99), "times",
            at_most=LIVE_BAR,
        ),
        Figure("postgresql: live p99 without a rotation", median("without", 0.99) / 1000, "ms"),
        Figure("postgresql: live p99 beside a rotation", median("with", 0.99) / 1000, "ms"),
        Figure("postgresql: live p50 beside a rotation, against without", median("with", 0.5) / median("without", 0.5), "times"),
    ]
    shares = [0.5, 0.9, 0.95, 0.99, 0.999]
    detail = {kind: [{str(s): quantile(w, s) for s in shares} for w in all] for kind, all in windows.items()}
    return figures, {"us": detail, "ratios": ratios}


def window(place, subject, is_rotating):
    """The latencies, in microseconds from the time each transaction was due, in one window of live traffic."""
    folder = place.scratch / "traffic"
    place.discard(folder)
    folder.mkdir()
    script = folder / "script"
    script.write_text(TRAFFIC.format(rows=ROWS))
    rotation = None
    if is_rotating:
        words = subject.command("rotate", "main", "--yes", "--quiet", "--rows-per-second", str(LIVE_RATE))
        rotation = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_rows(subject)
    cluster = subject.cluster
    subprocess.run(
        [cluster.program("pgbench"), "-n", "-M", "prepared", "-c", "4", "-R", "400", "-T", str(LIVE_SECONDS), "-l",
         "--log-prefix", "latency", "-f", str(script), "-h", str(cluster.socket), "-U", "postgres", subject.name],
        cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    if rotation:
        if rotation.poll() is not None:
            raise RuntimeError("the rotation ended before the traffic did")
        rotation.send_signal(signal.SIGINT)
        rotation.wait()
    lines = [line for file in folder.glob("latency.*") for line in file.read_text().splitlines()]
    return [int(line.split()[2]) for line in lines]


def wait_for_rows(subject):
    query = "SELECT count(*) FROM keyturn.run_windows WHERE rows_written > 0"
    deadline = time.monotonic() + 120
    while subject.cluster.run(subject.name, query)[0][0] == 0:
        if time.monotonic() > deadline:
            raise RuntimeError("the rotation wrote nothing")
        time.sleep(0.05)


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
