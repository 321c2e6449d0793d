"""Objects: what the rows of keys, scopes, names, and the lists of tokens and of ledgers seal (§6)."""

import grammar
from codec import Reader, ascending, decode, unpad
from failure import Malformed

PENDING, CURRENT, PREVIOUS, RETIRED, REVOKED = 1, 2, 3, 4, 5
STATES = {PENDING: "pending", CURRENT: "current", PREVIOUS: "previous", RETIRED: "retired", REVOKED: "revoked"}
ORIGINS = {1: "generated", 2: "given", 3: "minted"}
HELD = 1
BUCKETS = 64
MOST_LEDGERS = 64
# By kind: its name, and the least and greatest length; none where the kind fixes it.
RECIPES = {
    1: ("token", 11, 4096),
    2: ("password", 11, 4096),
    3: ("hex", 8, 2048),
    4: ("base64", 8, 3072),
    5: ("base64url", 8, 3072),
    6: ("uuid", 0, 0),
    7: ("passphrase", 5, 409),
    8: ("ed25519", 0, 0),
    9: ("ssh-ed25519", 0, 0),
    10: ("ecdsa-p256", 0, 0),
    11: ("ecdsa-p384", 0, 0),
    12: ("ssh-ecdsa-p256", 0, 0),
    13: ("ssh-ecdsa-p384", 0, 0),
}
PREFIXED = range(1, 6)
WITH_ALPHABET = range(1, 3)


class Recipe:
    def __init__(self, reader):
        kind = reader.u8()
        self.length = reader.u32()
        self.prefix = grammar.prefix(reader.text())
        self.alphabet = grammar.alphabet(reader.text())
        if kind not in RECIPES:
            raise Malformed
        self.kind, least, most = RECIPES[kind]
        if self.alphabet:
            if kind not in WITH_ALPHABET:
                raise Malformed
            least = next(length for length in range(1, 65) if len(self.alphabet) ** length >= 2**64)
        if not least <= self.length <= most or self.prefix and kind not in PREFIXED:
            raise Malformed


class Version:
    def __init__(self, reader):
        self.number = reader.u32()
        self.state = reader.u8()
        self.origin = reader.u8()
        self.created = reader.i64()
        self.created_change = reader.u64()
        self.since = reader.i64()
        self.since_change = reader.u64()
        self.grace_until = reader.option(reader.i64)
        self.fingerprint = reader.take(6)
        self.digest = reader.option(lambda: reader.take(16))
        self.due = reader.option(reader.i64)
        self.made_by = reader.text()
        self.public = reader.option(reader.text)
        self.reason = reader.text()
        if self.state not in STATES or self.origin not in ORIGINS:
            raise Malformed


class Decoy:
    def __init__(self, reader):
        self.alarm = flag(reader)
        self.on_trip = flag(reader)


class Rotation:
    """A rotation that has not ended."""

    def __init__(self, reader):
        self.mode = reader.u8()
        self.step = reader.u8()
        self.attempt = reader.take(16)
        self.version = reader.u32()
        self.deadline = reader.i64()
        self.outcome = reader.u8()
        if self.mode not in (1, 2) or self.step not in (1, 2, 3, 4) or self.outcome not in (0, 1, 2):
            raise Malformed


def flag(reader):
    value = reader.u8()
    if value > 1:
        raise Malformed
    return value


class Key:
    """A key, out of its padding."""

    def __init__(self, plain):
        decode(unpad(plain), self._read)
        self._hold()

    def _hold(self):
        if self.klass != HELD:
            raise Malformed
        grammar.name(self.name)
        grammar.variable(self.variable)
        ascending([grammar.scope(scope).encode() for scope in self.scopes])
        ascending([grammar.name(key).encode() for key, _ in self.tags])
        numbers = [version.number for version in self.versions]
        ascending(numbers)
        if any(not 1 <= number < self.next_version for number in numbers):
            raise Malformed
        if sum(version.state == CURRENT for version in self.versions) > 1:
            raise Malformed
        if self.rotation and self.rotation.version >= self.next_version:
            raise Malformed

    def _read(self, reader):
        self.name = reader.text()
        self.klass = reader.u8()
        self.id = reader.take(16)
        self.variable = reader.text()
        self.scopes = reader.list(reader.text)
        self.tags = reader.list(lambda: (reader.text(), reader.text()))
        self.note = reader.text()
        self.created = reader.i64()
        self.expires = reader.option(reader.i64)
        self.recipe = reader.option(lambda: Recipe(reader))
        self.owner = reader.text()
        self.display_name = reader.text()
        self.value_kind = reader.u8()
        self.public = flag(reader)
        self.disabled = reader.option(lambda: (reader.i64(), reader.text()))
        self.decoy = reader.option(lambda: Decoy(reader))
        self.rotate_every = reader.option(reader.u64)
        self.warn = reader.option(reader.u64)
        self.unit = reader.option(lambda: reader.take(16))
        self.rotation = reader.option(lambda: Rotation(reader))
        self.last_change = reader.u64()
        self.next_version = reader.u32()
        self.versions = reader.list(lambda: Version(reader))
        reader.extensions()


class RemovedKey(Key):
    """A key that was removed, out of its padding."""

    def __init__(self, plain):
        super().__init__(plain)
        if self.place != self.id:
            raise Malformed

    def _read(self, reader):
        self.place = reader.bytes()
        self.removed = reader.i64()
        self.removed_by = reader.u64()
        self.due = reader.option(reader.i64)
        super()._read(reader)


class Scope:
    """A scope, out of its padding."""

    def __init__(self, plain):
        decode(unpad(plain), self._read)
        grammar.scope(self.name)
        ascending(self.members)
        if not self.members:
            raise Malformed

    def _read(self, reader):
        self.name = reader.text()
        self.members = reader.list(lambda: reader.take(16))
        reader.extensions()


class Names:
    """A bucket's names, out of their padding."""

    def __init__(self, plain):
        decode(unpad(plain), self._read)
        ascending([grammar.name(name).encode() for name in self.names])
        if len(self.bucket) != 1 or self.bucket[0] >= BUCKETS or not self.names:
            raise Malformed

    def _read(self, reader):
        self.bucket = reader.bytes()
        self.names = reader.list(reader.text)
        reader.extensions()


class Tokens:
    """The list of tokens, out of its padding."""

    def __init__(self, plain):
        decode(unpad(plain), self._read)
        ascending(self.tags)
        if self.name or not self.tags:
            raise Malformed

    def _read(self, reader):
        self.name = reader.bytes()
        self.tags = reader.list(lambda: reader.take(16))
        reader.extensions()


class Ledgers:
    """The list of devices' ledgers, out of its padding."""

    def __init__(self, plain):
        decode(unpad(plain), self._read)
        ascending([ledger.id for ledger in self.ledgers])
        if self.name or not 1 <= len(self.ledgers) <= MOST_LEDGERS:
            raise Malformed

    def _read(self, reader):
        self.name = reader.bytes()
        self.ledgers = reader.list(lambda: Ledger(reader))
        reader.extensions()


class Ledger:
    def __init__(self, reader):
        self.id = reader.take(16)
        self.seed = reader.bytes()
        self.state = reader.u8()
        self.count = reader.u64()
        self.mac = reader.take(32)
        if not any(self.id) or self.state not in (1, 2) or self.count == 0 and any(self.mac):
            raise Malformed


def name_of(plain):
    """The name with which an object of any kind begins, out of its padding; None if there is none."""
    reader = Reader(unpad(plain))
    try:
        return reader.bytes()
    except Malformed:
        return None
