"""Vectors of `tests/testkit`: their header, and the vault that each makes (its README says how)."""

import functools
import os
import sqlite3
import tempfile


class Vector:
    def __init__(self, testkit, name):
        self.name = name
        self._testkit = testkit
        with open(os.path.join(testkit, "vectors", name), "rb") as file:
            parts = file.read().decode("utf-8").split("\n\n== ")
        pairs = (line.partition(":")[::2] for line in parts[0].split("\n") if line)
        self.header = {field: value.removeprefix(" ") for field, value in pairs}
        self.sections = dict(part.partition("\n")[::2] for part in parts[1:])

    def __getitem__(self, field):
        return self.header.get(field)

    def bundle(self):
        return self.sections["bundle"].encode()

    def make(self, path):
        """Writes the vector's vault."""
        with open(path, "wb") as file:
            file.write(base(os.path.join(self._testkit, "bases", f"{self['base']}.sql")))
        if "sql" in self.sections:
            run(path, self.sections["sql"])
        with open(path, "r+b") as file:
            for line in self.sections.get("bytes", "").splitlines():
                place, written = line.split()
                file.seek(int(place))
                file.write(bytes.fromhex(written))
            if "length" in self.sections:
                file.truncate(int(self.sections["length"]))


@functools.lru_cache(maxsize=None)
def base(script):
    """A base's bytes."""
    with tempfile.TemporaryDirectory() as folder, open(script, encoding="utf-8") as file:
        path = os.path.join(folder, "base.db")
        run(path, file.read())
        with open(path, "rb") as made:
            return made.read()


def run(path, statements):
    """Runs statements on a database, and folds the log into the file."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA synchronous = OFF")
    database.executescript(statements)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    database.close()
