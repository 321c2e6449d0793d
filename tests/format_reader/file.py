"""The file: SQLite, its schema, and its columns (§4)."""

import os
import sqlite3

from failure import Damaged, Foreign, Format, Hostile

APPLICATION_ID = 0x4B564C54
USER_VERSION = 1004
PAGE_SIZE = 4096

SCHEMA = """\
CREATE TABLE vault (id INTEGER PRIMARY KEY CHECK (id = 1), vault_id BLOB NOT NULL, epoch INTEGER NOT NULL, written_by TEXT NOT NULL, chain_seed BLOB NOT NULL, signer BLOB NOT NULL) STRICT
CREATE TABLE slot (id INTEGER PRIMARY KEY, header BLOB NOT NULL, sealed BLOB NOT NULL) STRICT
CREATE TABLE object (id INTEGER PRIMARY KEY, tag BLOB NOT NULL, revision INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT
CREATE TABLE version (id INTEGER PRIMARY KEY, key BLOB NOT NULL, version INTEGER NOT NULL, wrapped BLOB NOT NULL, sealed BLOB NOT NULL) STRICT
CREATE TABLE leaf (tag BLOB PRIMARY KEY, digest BLOB NOT NULL) STRICT, WITHOUT ROWID
CREATE TABLE node (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), record BLOB NOT NULL, signature BLOB NOT NULL, mac BLOB NOT NULL) STRICT
CREATE TABLE log (id INTEGER PRIMARY KEY, change INTEGER, mac BLOB NOT NULL, sealed BLOB NOT NULL) STRICT
CREATE INDEX log_change ON log (change) WHERE change IS NOT NULL
CREATE TABLE log_head (ledger BLOB PRIMARY KEY, number INTEGER NOT NULL, count INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID
CREATE TABLE token_view (token BLOB PRIMARY KEY, change INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID
CREATE TABLE token_grant (token BLOB NOT NULL, key BLOB NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (token, key)) STRICT, WITHOUT ROWID
CREATE TABLE issued_list (id INTEGER PRIMARY KEY CHECK (id = 1), list BLOB NOT NULL) STRICT
CREATE TABLE issued_set (set_id BLOB PRIMARY KEY, header BLOB NOT NULL, signature BLOB NOT NULL) STRICT, WITHOUT ROWID
CREATE TABLE issued_page (id INTEGER PRIMARY KEY, set_id BLOB NOT NULL, kind INTEGER NOT NULL, page INTEGER NOT NULL, change INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT
CREATE TABLE issued_hold (id INTEGER PRIMARY KEY, verifier BLOB NOT NULL, seq INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT
"""

U32, U63 = (1 << 32) - 1, (1 << 63) - 1
HIGHEST_LEDGER = (1 << 31) - 2
# The ledger of the vault's own entries.
VAULTS_LEDGER = bytes(16)
COLUMNS = {
    "vault": ("vault_id", "epoch", "written_by", "chain_seed", "signer"),
    "slot": ("id", "header", "sealed"),
    "object": ("id", "tag", "revision", "sealed"),
    "version": ("id", "key", "version", "wrapped", "sealed"),
    "leaf": ("tag", "digest"),
    "node": ("id", "body"),
    "state": ("record", "signature", "mac"),
    "log": ("id", "change", "mac", "sealed"),
    "log_head": ("ledger", "number", "count", "sealed"),
    "token_view": ("token", "change", "sealed"),
    "token_grant": ("token", "key", "sealed"),
}
LENGTHS = {name: 16 for name in ("vault_id", "tag", "digest", "key", "ledger", "token")} | {"mac": 32}
HIGHEST = {"epoch": U32, "version": U32, "number": HIGHEST_LEDGER} | {name: U63 for name in ("revision", "change", "count")}
IDS = {"node": (0, U32), "log": (0, U63), "object": (-U63 - 1, U63), "version": (0, U63)}


class Text(bytes):
    """A column of type TEXT, before it is read as UTF-8."""


def schema_rows():
    """What `sqlite_schema` holds of SCHEMA: type, name, table, and statement."""
    for statement in SCHEMA.splitlines():
        words = statement.split()
        if words[1] == "TABLE":
            yield ("table", words[2], words[2], statement)
        else:
            yield ("index", words[2], words[4], statement)


def column(table, name, value):
    """A column's value, as §4 says that it must be."""
    if table == "slot":
        # A slot that is none keeps nobody from the others (§5): one without bytes is passed over.
        return value if name == "id" or type(value) is bytes else b""
    if name == "id":
        least, most = IDS[table]
        if type(value) is int and least <= value <= most:
            return value
    elif name in HIGHEST:
        if value is None and (table, name) == ("log", "change"):
            return None
        if type(value) is int and 0 <= value <= HIGHEST[name]:
            return value
    elif name == "written_by":
        try:
            if type(value) is Text:
                return value.decode("utf-8")
        except UnicodeDecodeError:
            pass
    elif type(value) is bytes and len(value) == LENGTHS.get(name, len(value)):
        return value
    raise Damaged("column")


def object_id(kind, at):
    """The id of an object's row (§4): its kind, and the first 7 bytes of its tag."""
    return int.from_bytes(bytes([kind]) + at[:7], "big", signed=True)


def kind_of(row_id):
    return row_id >> 56 & 255


def version_id(key, number):
    return (int.from_bytes(key[:8], "big") >> 2) + number


def in_place(table, row):
    """A row under the id that was computed from it."""
    if table == "object" and row[0] != object_id(kind_of(row[0]), row[1]):
        raise Damaged("column")
    if table == "version" and row[0] != version_id(row[1], row[2]):
        raise Damaged("column")
    if table == "log_head" and (row[1] == 0) != (row[0] == VAULTS_LEDGER):
        raise Damaged("column")
    return row


class VaultFile:
    """A vault's file, opened only for reading."""

    def __init__(self, path):
        """In the testkit's order: what is no vault, what is of another format, what must be refused."""
        self._path = path
        if os.path.exists(f"{path}-journal"):
            raise Hostile("journal")
        if os.path.getsize(path) == 0:
            raise Foreign("empty-file")
        with open(path, "rb") as file:
            if file.read(16) != b"SQLite format 3\0":
                raise Foreign("not-sqlite")
        self._database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        self._database.text_factory = Text
        try:
            self._look()
        except BaseException:
            self.close()
            raise

    def _look(self):
        try:
            self.raw("SELECT count(*) FROM sqlite_schema")
        except sqlite3.DatabaseError as error:
            if str(error) == "file is not a database":
                raise Foreign("not-sqlite") from None
            if str(error).startswith("malformed database schema"):
                raise Hostile("schema") from None
            raise
        except UnicodeDecodeError:
            # SQLite quotes a statement that it cannot parse, and Python reads the message as UTF-8.
            raise Hostile("schema") from None
        if self._pragma("application_id") != APPLICATION_ID:
            raise Foreign("application-id")
        if self._pragma("user_version") != USER_VERSION:
            raise Format("format")
        if self._pragma("page_size") != PAGE_SIZE:
            raise Damaged("page-size")
        if self._pragma("journal_mode") != b"wal":
            raise Damaged("journal-mode")
        log = f"{self._path}-wal"
        logged = os.path.exists(log) and os.path.getsize(log) > 0
        if os.path.getsize(self._path) % PAGE_SIZE and not logged:
            raise Damaged("cut-off")
        rows = self._database.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
        expected = [tuple(Text(part.encode()) for part in row) for row in schema_rows()]
        if sorted(rows, key=repr) != sorted(expected, key=repr):
            raise Hostile("schema")

    def close(self):
        self._database.close()

    def _pragma(self, name):
        return self._database.execute(f"PRAGMA {name}").fetchone()[0]

    def raw(self, query, *values):
        return self._database.execute(query, values).fetchall()

    def select(self, table, condition="TRUE", *values):
        """Rows of a table as tuples of its columns, each column held against §4."""
        names = COLUMNS[table]
        rows = self.raw(f"SELECT {', '.join(names)} FROM {table} WHERE {condition}", *values)
        return [in_place(table, tuple(column(table, *pair) for pair in zip(names, row))) for row in rows]

    def first(self, table, condition, *values):
        rows = self.select(table, condition, *values)
        return rows[0] if rows else None

    def object(self, kind, at):
        """The row of an object: kind, tag, revision, sealed text."""
        row = self.first("object", "id = ? AND tag = ?", object_id(kind, at), at)
        return row and (kind, *row[1:])

    def objects(self, condition="TRUE", *values):
        """Rows of objects with their kinds."""
        return [(kind_of(row[0]), *row[1:]) for row in self.select("object", condition, *values)]

    def of_kind(self, kind):
        """A kind's rows in the order of their tags."""
        low, high = object_id(kind, bytes(7)), object_id(kind, b"\xff" * 7)
        return self.objects("id BETWEEN ? AND ? ORDER BY tag", low, high)

    def version(self, key, number):
        """The row of a version: wrapped key, sealed value."""
        where = "id = ? AND key = ? AND version = ?"
        row = self.first("version", where, version_id(key, number), key, number)
        return row and row[3:]

    def head(self, ledger):
        """The head of a ledger: number, count, sealed text."""
        row = self.first("log_head", "ledger = ?", ledger)
        return row and row[1:]

    def single(self, table):
        """The row of a table that has one."""
        row = self.first(table, "id = 1")
        if row is None:
            raise Damaged("missing-row")
        return row

    def sound(self):
        """Whether SQLite finds its pages sound."""
        return self.raw("PRAGMA integrity_check") == [(b"ok",)]
