"""An instance on a database of PostgreSQL, driven through the built executable."""

import shutil

from .instance import NOTE, Instance

# The same table of credentials as in SQLite: about 264 bytes a row with a value of 120, and a secondary index.
TABLE = """
CREATE TABLE t (
    id int8 PRIMARY KEY, name text NOT NULL, host text NOT NULL, login text NOT NULL, note text NOT NULL, c {form}
);
CREATE INDEX t_name ON t (name);
"""
# Rows as they come with an application's inserts: full pages, in the order of the key.
FILL = f"""
INSERT INTO t SELECT i, 'source-' || lpad(i::text, 7, '0') || repeat('x', 40), 'db' || i % 97 || '.example.com',
    'svc_reader_' || i % 1000, '{NOTE}', {{value}} FROM generate_series(1, {{rows}}) AS i
"""


class ServedInstance(Instance):
    """A database with a table `t` of credentials in a cluster, and an instance whose keyring seals `t.c`."""

    def __init__(self, folder, program, cluster, name, core="kr1"):
        super().__init__(folder, program, core)
        self.cluster = cluster
        self.name = name

    def create(self, value, rows, form, key=None):
        """Makes the table, its values given as SQL, and an instance; plaintexts are adopted, tokens come with their key."""
        self.make(form)
        self.cluster.run(self.name, FILL.format(value=value, rows=rows))
        self.begin(key)

    def make(self, form):
        """Makes the database and its empty table."""
        self.folder.mkdir(parents=True)
        self.cluster.run("postgres", f"CREATE DATABASE {self.name}")
        self.cluster.run(self.name, TABLE.format(form=form))

    def begin(self, key=None):
        """Makes the instance and has the values sealed, or takes over the key that they are sealed under."""
        configuration = self.folder / "keyturn.lua"
        configuration.write_text(
            f'database "{self.cluster.url(self.name)}"\n'
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

    def repack(self):
        """Puts the rows back onto full pages, as if they had been inserted just now: the worst case for rewriting."""
        self.cluster.run(self.name, "CLUSTER t USING t_pkey", "VACUUM (FREEZE, ANALYZE) t")

    def keep(self):
        """Remembers the database as it stands, so that `restore` brings it back byte for byte."""
        self.cluster.run("postgres", f"ALTER DATABASE {self.name} RENAME TO {self.name}_kept")
        shutil.copytree(self.folder, self.kept)

    def restore(self):
        shutil.rmtree(self.folder)
        shutil.copytree(self.kept, self.folder)
        self.cluster.copy(f"{self.name}_kept", self.name)

    def drop(self):
        for name in (self.name, f"{self.name}_kept"):
            self.cluster.run("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        for folder in (self.folder, self.kept):
            shutil.rmtree(folder, ignore_errors=True)
