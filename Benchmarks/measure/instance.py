"""An instance on a database of its own, driven through the built executable."""

import datetime
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import time

# A table of credentials: about 264 bytes a row with a value of 120, and a secondary index.
TABLE = """
CREATE TABLE t (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, host TEXT NOT NULL, login TEXT NOT NULL, note TEXT NOT NULL, c {form}
);
CREATE INDEX t_name ON t (name);
"""
NOTE = "imported from the inventory"
PHASES = ["preflight", "prepare", "activate", "reencrypt", "settle", "verify", "retire"]


class Instance:
    """A database with a table `t` of credentials, and an instance whose keyring seals `t.c`."""

    def __init__(self, folder, program, core, journal="wal"):
        self.folder = pathlib.Path(folder)
        self.program = program
        self.core = core
        self.journal = journal
        self.database = self.folder / "bench.db"

    def create(self, values, form, key=None):
        """Makes the database with the values; plaintexts are adopted, tokens come with the key that they are under."""
        self.folder.mkdir(parents=True)
        fill(self.database, values, form, self.journal)
        configuration = self.folder / "keyturn.lua"
        configuration.write_text(
            'database "sqlite:bench.db"\n'
            f'keyring "main" {{ core = "{self.core}" }}\n'
            'column "t.c" { keyring = "main" }\n'
        )
        self.run("init", "--config", str(configuration))
        if key is None:
            self.run("adopt", "t.c", "--yes", "--quiet")
        else:
            file = self.folder / "key.txt"
            file.write_bytes(key)
            self.run("keyring", "import", "main", "--from-file", str(file))

    def keep(self):
        """Remembers the files as they stand, so that `restore` brings them back byte for byte."""
        database = sqlite3.connect(self.database)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        shutil.copytree(self.folder, self.kept)

    def restore(self):
        """Brings the kept files back to the same place."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.kept, self.folder)
        # Nothing of the copying is left to be written while something is measured.
        os.sync()

    @property
    def kept(self):
        return self.folder.with_name(self.folder.name + ".kept")

    def command(self, *words):
        return [self.program, *words, "--instance", str(self.folder / "instance")]

    def run(self, *words):
        """Runs a command and hands back what it printed."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"keyturn {' '.join(words)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def rotate(self):
        """Rotates, and hands back the seconds of each phase and of the whole process, its peak memory and the rows."""
        start = time.monotonic()
        child = subprocess.Popen(
            self.command("rotate", "main", "--yes", "--quiet", "-o", "json"), stdout=subprocess.PIPE, text=True
        )
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - start
        if child.returncode != 0:
            raise RuntimeError(f"keyturn rotate: exit {child.returncode}: {output}")
        result = json.loads(output)["result"]
        return {
            "phases": phases(result["steps"]),
            "wall": wall,
            "peak_mib": usage.ru_maxrss / 1024,
            "rows": result["rowsWritten"],
        }


def fill(file, values, form, journal):
    """Makes a database with one row for each value."""
    database = sqlite3.connect(file, isolation_level=None)
    database.execute(f"PRAGMA journal_mode = {journal}")
    database.executescript(TABLE.format(form=form))
    database.execute("BEGIN")
    database.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows(values))
    database.execute("COMMIT")
    database.close()


def rows(values):
    for number, value in enumerate(values, 1):
        yield number, f"source-{number:07d}", f"db{number % 97}.example.com", f"svc_reader_{number % 1000}", NOTE, value


def phases(steps):
    """The seconds that each phase took, from the times of a run's own steps."""
    begun = {}
    for step in steps:
        if step["what"].startswith("phase "):
            begun.setdefault(step["what"].split()[1].rstrip(":"), instant(step["at"]))
    following = dict(zip(begun, list(begun)[1:]))
    return {name: (begun[following[name]] - begun[name]).total_seconds() for name in PHASES if name in following}


def instant(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
