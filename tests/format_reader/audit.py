"""A ledger's chain (§9), of a vault and of a token (§10)."""

import grammar
from codec import ascending, decode, option_u64, u64, unpad, with_length
from crypto import derive, equal, mac
from failure import Damaged, Malformed, Newer, NotSealed

ACTIONS = set(
    "init unlock generate add edit remove undelete import export exec reveal adopt rotate rollback revoke disable enable passwd recover rekey"
    " slot restore token bundle".split()
)
NO_MAC = bytes(32)


def _token(reader):
    deed, name = reader.u8(), reader.text()
    if deed not in (1, 2, 3, 4):
        raise Malformed
    return deed, grammar.name(name)


def _revoked(reader):
    def version():
        number, since, change = reader.u32(), reader.i64(), reader.u64()
        wiped, reason = reader.u8(), reader.text()
        if wiped > 1:
            raise Malformed
        return number, since, change, wiped, reason

    keys = reader.list(lambda: (reader.take(16), reader.list(version)))
    ascending([key for key, _ in keys])
    return keys


def _disabled(reader):
    keys = reader.list(lambda: (reader.take(16), reader.i64(), reader.text()))
    ascending([key for key, _, _ in keys])
    return keys


def _session(reader):
    return grammar.name(reader.text()), reader.text()


def _broken(reader):
    ledgers = reader.list(lambda: (reader.take(16), reader.u64()))
    ascending([ledger for ledger, _ in ledgers])
    return ledgers


def _edited(reader):
    def names(check):
        found = reader.list(lambda: check(reader.text()))
        ascending(found)
        return found

    scopes = names(grammar.scope), names(grammar.scope)
    keys = names(grammar.name), names(grammar.name)
    return scopes, keys, reader.option(lambda: (reader.option(reader.i64), reader.option(reader.i64)))


# The extensions that are defined.
FIELDS = {
    1: lambda reader: reader.u64(),
    3: lambda reader: grammar.name(reader.text()),
    5: lambda reader: True,
    7: _token,
    9: lambda reader: reader.i64(),
    11: _revoked,
    13: _disabled,
    15: _session,
    17: _broken,
    19: lambda reader: reader.u64(),
    21: lambda reader: reader.list(lambda: reader.take(16)),
    23: _edited,
}


class Event:
    """An event's structure, out of its padding."""

    def __init__(self, plain):
        try:
            decode(unpad(plain), self._read)
        except Newer:
            # No version adds an even field to an event (§3).
            raise Malformed from None
        if self.action not in ACTIONS or self.outcome > 1:
            raise Malformed

    def _read(self, reader):
        self.time = reader.i64()
        self.action = reader.text()
        self.outcome = reader.u8()
        self.user = reader.text()
        self.host = reader.text()
        self.pid = reader.u32()
        self.program = reader.text()
        self.terminal = reader.option(reader.text)
        self.job = reader.option(reader.text)
        self.keys = reader.list(lambda: (reader.text(), reader.u32()))
        self.detail = reader.text()
        self.change, self.before = reader.option(lambda: (reader.u64(), reader.take(32))) or (None, None)
        fields = reader.extensions()
        self.fields = {field: decode(fields[field], read) for field, read in FIELDS.items() if field in fields}


def open_event(keys, place, before, sealed):
    """The event of the entry at a place, behind the MAC of the entry before."""
    return Event(keys.open("audit events", "audit event", sealed, "log", u64(place), bound=before))


def entry_mac(key, place, change, before, sealed):
    return mac(key, b"keyvault audit entry", u64(place), option_u64(change), before, with_length(sealed))


def next_key(key):
    return derive(key, "keyvault audit step", b"")


def open_head(keys, count, sealed):
    """MAC of the last entry, and the key of the next."""
    try:
        plain = keys.open("audit append", "audit head", sealed, "log_head", revision=count)
    except NotSealed:
        raise Damaged("head-seal") from None
    if len(plain) != 64:
        raise Damaged("head-malformed")
    return plain[:32], plain[32:]


def verify(keys, first_key, head, highest, entry):
    """Verifies a chain in the order of §9 and returns its events, with the MAC in each row.

    `first_key` is k₀, or None without root; `head` is the row's count and sealed text; `highest` the highest number
    in the chain or None; `entry` gives change, MAC and sealed text of a number, or None.
    """
    count, sealed_head = head
    last_mac, following = open_head(keys, count, sealed_head)
    if count != (0 if highest is None else highest + 1):
        raise Damaged("head-count")
    if not equal(entry(highest)[1] if count else NO_MAC, last_mac):
        raise Damaged("head-last")
    before, key, events = NO_MAC, first_key, []
    for place in range(count):
        row = entry(place)
        if row is None:
            raise Damaged("entry-missing")
        change, stored, sealed = row
        try:
            event = open_event(keys, place, before, sealed)
        except NotSealed:
            raise Damaged("event-seal") from None
        except Malformed:
            raise Damaged("event-malformed") from None
        if event.change != change:
            raise Damaged("event-change")
        if key is not None:
            if not equal(entry_mac(key, place, change, before, sealed), stored):
                raise Damaged("entry-mac")
            key = next_key(key)
        before = stored
        events.append((event, stored, sealed))
    if key is not None and not equal(key, following):
        raise Damaged("head-key")
    return events
