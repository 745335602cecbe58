"""A cluster of PostgreSQL of its own, and databases in it that are copied byte for byte."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import psycopg2

SETTINGS = """
listen_addresses = ''
shared_buffers = 2GB
max_wal_size = 1GB
log_min_messages = fatal
"""


class Cluster:
    """A server with its data in a folder on the disk of the checkout where its user may go there."""

    def __init__(self, place):
        self.programs = newest(pathlib.Path("/usr/lib/postgresql"))
        self.folder = place.scratch / "cluster"
        self.folder.mkdir()
        if os.getuid() == 0:
            # The server refuses to run as root.
            shutil.chown(self.folder, "postgres")
            if self.as_server("test", "-w", str(self.folder), check=False).returncode != 0:
                self.folder = pathlib.Path(tempfile.mkdtemp(prefix="keyturn-bench-"))
                shutil.chown(self.folder, "postgres")
        # A socket's path is short.
        self.socket = pathlib.Path(tempfile.mkdtemp(prefix="keyturn-bench-"))
        if os.getuid() == 0:
            shutil.chown(self.socket, "postgres")
        self.data = self.folder / "data"
        self.server("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write(f"{SETTINGS}unix_socket_directories = '{self.socket}'\n")
        self.server("pg_ctl", "-D", str(self.data), "-l", str(self.folder / "log"), "-w", "start")

    def stop(self):
        self.server("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")
        for folder in (self.folder, self.socket):
            shutil.rmtree(folder, ignore_errors=True)

    def program(self, name):
        return str(self.programs / name)

    def url(self, database):
        return f"postgresql://postgres@/{database}?host={self.socket}"

    def connect(self, database):
        connection = psycopg2.connect(self.url(database))
        connection.autocommit = True
        return connection

    def run(self, database, *statements):
        """Runs statements one by one and hands back the rows of the last."""
        connection = self.connect(database)
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
        connection.close()
        return rows

    def copy(self, source, target):
        """Makes a database that is a copy of another one, byte for byte, with nothing left to be written."""
        self.run(
            "postgres", f"DROP DATABASE IF EXISTS {target} WITH (FORCE)",
            f"CREATE DATABASE {target} TEMPLATE {source} STRATEGY file_copy", "CHECKPOINT",
        )
        os.sync()

    def server(self, name, *words):
        self.as_server(self.program(name), *words)

    def as_server(self, *words, check=True):
        user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        done = subprocess.run(
            [*user, *words], cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}")
        return done


def newest(root):
    """The directory of the newest server's programs."""
    found = sorted(root.glob("*/bin/initdb"), key=lambda file: float(file.parts[-3]))
    if not found:
        raise RuntimeError("PostgreSQL is not installed")
    return found[-1].parent
