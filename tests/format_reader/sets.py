#!/usr/bin/python3
"""Sets of issued keys (§13), read as a verifier does.

`sets.py VECTORS` reads each vector of `tests/vectors/sets.json` and prints `NAME: agrees`, or what it made of it instead.
"""

import sys

sys.dont_write_bytecode = True

import copy
import json

import grammar
from codec import Reader, ascending, decode, u8, u32, u64, unpad, with_length
from crypto import HOLD, SET_HEADER, derive, equal, sha256, signer_id, unseal, verifies
from failure import Malformed, Newer, NotSealed

API, WORDS, CLIENTS, KEYS, OVERRIDES, NAMES = 1, 2, 3, 4, 5, 6
KINDS = (API, WORDS, CLIENTS, KEYS, OVERRIDES, NAMES)
BY_EPOCH, BY_ISSUER = 1, 3
ACTIVE, DISABLED, REVOKED = 1, 2, 3
IN_FORCE, KEYS_KEPT, ENDED = 1, 2, 3
CLOSED = 2
MOST_RECORDS, LONGEST_PAGE, MOST_PAGES = 128, 2**20, 2**20
NUMBERS, MOST_RISE = 2**62, 2**32
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
STRICTNESS = ("active", "not-yet", "expired", "held", "disabled", "revoked", "refused", "decoy")
STATES = {ACTIVE: "active", DISABLED: "disabled", REVOKED: "revoked"}


class Refused(Exception):
    """A list, a header, or a set that is not believed."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


# Structures


def choice(reader, *values):
    value = reader.u8()
    if value not in values:
        raise Malformed
    return value


def free_text(reader):
    text = reader.text()
    if len(text.encode()) > 1024 or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text):
        raise Malformed
    return text


def nonempty(reader):
    text = free_text(reader)
    if not text:
        raise Malformed
    return text


def word(reader):
    text = reader.text()
    grammar.name(text)
    return text


def base62(reader, length):
    text = reader.take(length).decode("ascii", "replace")
    if any(c not in BASE62 for c in text):
        raise Malformed
    return text


def id_of(reader):
    return base62(reader, 12)


def prefix(reader):
    text = reader.text()
    if len(text) > 16 or any(c not in BASE62 + "_" for c in text) or text[:1] == "_" or text[-1:] == "_":
        raise Malformed
    return text


def in_order(reader, read, key=lambda element: element):
    """`set(x)`."""
    elements = reader.list(lambda: read(reader))
    keys = [key(element) for element in elements]
    ascending([key.encode() if isinstance(key, str) else key for key in keys])
    return elements


def numbers(reader):
    return in_order(reader, Reader.u32)


def flag(reader):
    return choice(reader, 0, 1) == 1


def state(reader):
    value = choice(reader, ACTIVE, DISABLED, REVOKED)
    if value != ACTIVE:
        reader.i64()
        free_text(reader)
    return value


def limit(reader):
    name, *values = word(reader), reader.u32(), reader.u64(), reader.u32(), reader.u32()
    if 0 in values:
        raise Malformed
    return (name, *values)


def quota(reader):
    return ("day", "month")[choice(reader, 1, 2) - 1], reader.u64()


def network(reader):
    family = choice(reader, 4, 6)
    length = 4 if family == 4 else 16
    address, bits = reader.take(length), reader.u8()
    if bits > 8 * length or int.from_bytes(address, "big") & (1 << 8 * length - bits) - 1:
        raise Malformed
    return family, address, bits


def first(element):
    return element[0]


class Terms:
    def __init__(self, reader=None):
        self.limits = in_order(reader, limit, first) if reader else []
        self.quotas = in_order(reader, quota, first) if reader else []
        if reader:
            in_order(reader, network)
            for _ in range(4):
                in_order(reader, nonempty)


def extensions(reader):
    """The numbers of fields; none is defined."""
    fields = reader.list(lambda: (reader.u16(), reader.bytes()))
    ascending([number for number, _ in fields])
    return [number for number, _ in fields]


def terms(reader):
    return reader.option(lambda: Terms(reader)) or Terms()


class Key:
    def __init__(self, reader):
        self.id = id_of(reader)
        self.state = state(reader)
        self.proof = choice(reader, 1, 2, 3, 4)
        reader.take((0, 32, 32, 64)[self.proof - 1])
        choice(reader, 1, 2)
        self.prefix = prefix(reader)
        self.client = reader.option(lambda: id_of(reader))
        self.roles = numbers(reader)
        self.scopes = numbers(reader)
        reader.i64()
        self.not_before = reader.option(reader.i64)
        self.expires = reader.option(reader.i64)
        replaced = reader.option(lambda: (id_of(reader), reader.i64()))
        self.grace_until = replaced[1] if replaced else None
        self.decoy = flag(reader)
        free_text(reader)
        self.terms = terms(reader)
        self.extensions = extensions(reader)
        if self.proof == 1 and self.state != REVOKED:
            raise Malformed


class Client:
    def __init__(self, reader):
        self.id = id_of(reader)
        self.state = state(reader)
        self.name = word(reader)
        free_text(reader)
        reader.i64()
        self.terms = terms(reader)
        self.extensions = extensions(reader)


class Override:
    def __init__(self, reader):
        self.id = id_of(reader)
        self.state = state(reader)
        self.extensions = extensions(reader)
        if self.state == ACTIVE:
            raise Malformed


class Word:
    def __init__(self, reader):
        self.id = reader.u32()
        self.is_scope = choice(reader, 1, 2) == 1
        if self.is_scope:
            grammar.scope(reader.text())
        else:
            word(reader)
            self.scopes = numbers(reader)
        self.extensions = extensions(reader)


class Name:
    def __init__(self, reader):
        self.id = word(reader)
        id_of(reader)
        free_text(reader)
        in_order(reader, lambda reader: (word(reader), free_text(reader)), first)
        self.extensions = extensions(reader)


class Issuer:
    def __init__(self, reader):
        self.set = reader.take(16)
        self.mark = base62(reader, 2)
        word(reader)
        self.signer = reader.bytes()
        self.state = choice(reader, IN_FORCE, KEYS_KEPT, ENDED)
        self.ends = reader.option(reader.i64)
        self.scopes = numbers(reader)
        self.roles = numbers(reader)
        self.limits = in_order(reader, limit, first)
        self.quotas = in_order(reader, quota, first)
        self.longest_life = reader.u64()
        self.keys = reader.u32()
        self.clients = reader.u32()
        self.client_prefix = free_text(reader)
        self.owners_clients = in_order(reader, id_of)
        self.extensions = extensions(reader)
        if self.longest_life == 0:
            raise Malformed


class Verifier:
    def __init__(self, reader):
        self.id = reader.take(16)
        self.name = word(reader)
        self.signer = reader.bytes()
        self.epoch = reader.u32()
        self.closed = choice(reader, 1, 2) == CLOSED
        self.seen = reader.u64(), reader.take(32)
        self.settled = reader.u64()
        self.lifted = in_order(reader, Reader.u64)
        self.extensions = extensions(reader)
        if self.settled > self.seen[0]:
            raise Malformed


class Api:
    def __init__(self, reader):
        self.api = reader.take(16)
        word(reader)
        self.mark = base62(reader, 2)
        present = prefix(reader)
        self.prefixes = in_order(reader, prefix)
        choice(reader, 1, 2)
        in_order(reader, lambda reader: (reader.u32(), reader.take(32)), first)
        self.issuers = in_order(reader, Issuer, lambda issuer: issuer.set)
        self.verifiers = in_order(reader, Verifier, lambda verifier: verifier.id)
        self.extensions = extensions(reader)
        self.id = ()
        marks = [self.mark] + [issuer.mark for issuer in self.issuers]
        if present not in self.prefixes or len(set(marks)) != len(marks):
            raise Malformed


RECORDS = {API: Api, WORDS: Word, CLIENTS: Client, KEYS: Key, OVERRIDES: Override, NAMES: Name}


def place(kind, key):
    if kind == API:
        return 0
    if kind == WORDS:
        return key
    if kind == NAMES:
        return int.from_bytes(sha256(b"keyvault set name" + key.encode())[:8], "little")
    number = 0
    for digit in key[2:]:
        number = number * 62 + BASE62.index(digit)
    return number


class Header:
    def __init__(self, text):
        decode(text, self._read)

    def _read(self, reader):
        self.format = reader.u32()
        self.vault = reader.take(16), reader.u32()
        self.api = reader.take(16)
        self.set = reader.take(16)
        self.number = reader.u64()
        self.root = reader.take(32)
        self.names = reader.option(lambda: reader.take(32))
        counts = in_order(reader, lambda reader: (choice(reader, *KINDS), reader.u32(), reader.u32()), first)
        self.counts = {kind: (pages, records) for kind, pages, records in counts}
        reader.i64()
        self.fresh_until = reader.option(reader.i64)
        self.signer = choice(reader, BY_EPOCH, BY_ISSUER), reader.take(16)
        self.extensions = extensions(reader)

    def is_well_formed(self):
        for pages, records in self.counts.values():
            most = 1 << max(records - 1, 0).bit_length()
            if pages == 0 or pages & pages - 1 or pages > min(MOST_PAGES, most) or records > pages * MOST_RECORDS:
                return False
        return self.format == 1 and self.number < NUMBERS and (self.names is not None) == (NAMES in self.counts)

    def count(self, kind):
        return self.counts.get(kind, (0, 0))


# Verification


class Listed:
    """The list that the state record binds (step 1)."""

    def __init__(self, text, bound):
        if not equal(sha256(text), bound):
            raise Refused("list")
        try:
            entry = lambda reader: (reader.take(16), reader.u64(), reader.take(32))
            entries = decode(text, lambda reader: in_order(reader, entry, first))
        except Malformed:
            raise Refused("list-malformed") from None
        self.sets = {set_id: (number, header) for set_id, number, header in entries}


class Origin:
    """A vault in its epoch, and the owner's signer."""

    def __init__(self, vault_id, epoch, owner):
        self.vault_id, self.epoch, self.owner = vault_id, epoch, owner

    def context(self, table, row):
        return (
            u32(1)
            + self.vault_id
            + u32(self.epoch)
            + with_length(table.encode())
            + with_length(row)
            + u32(0)
            + with_length(b"sealed")
            + u64(0)
            + with_length(b"")
        )


def verifier_id(token, api):
    return sha256(b"keyvault verifier" + token + api)[:16]


def is_owners(text):
    """Whether a header is of an owner's set, if it is of any."""
    try:
        return Header(text).count(API)[0] > 0
    except Malformed:
        return False


def parse_header(text):
    try:
        return Header(text)
    except Malformed:
        raise Refused("header-malformed") from None


def signed_header(origin, api, text, signature, issuers_signer=None):
    """A header whose vault, API, and signature hold, and its hash."""
    header = parse_header(text)
    if header.vault != (origin.vault_id, origin.epoch):
        raise Refused("other-vault")
    if header.api != api:
        raise Refused("other-api")
    kind, named = header.signer
    signer = origin.owner if kind == BY_EPOCH else issuers_signer
    if signer is None or signer_id(signer) != named:
        raise Refused("origin")
    try:
        if not verifies(signer, signature, SET_HEADER, origin.vault_id, origin.epoch, text):
            raise Refused("origin")
    except Newer:
        raise Refused("origin-newer") from None
    if not header.is_well_formed():
        raise Refused("header-malformed")
    return header, sha256(with_length(text) + with_length(signature))


def owners_header(origin, listed, api, text, signature):
    """Step 2."""
    header, digest = signed_header(origin, api, text, signature)
    if any(number % 2 == 0 for number in header.extensions):
        raise Refused("header-newer")
    if listed.sets.get(header.set) != (header.number, digest):
        raise Refused("not-listed")
    if header.count(API) != (1, 1):
        raise Refused("shape")
    return header


def issuers_header(origin, listed, api, text, signature, pin, now):
    """Step 4."""
    claimed = parse_header(text)
    issuer = next((issuer for issuer in api.issuers if issuer.set == claimed.set), None)
    if issuer is None:
        raise Refused("no-issuer")
    header, digest = signed_header(origin, api.api, text, signature, issuer.signer)
    if header.extensions:
        raise Refused("header-newer")
    if any(number % 2 == 0 for number in issuer.extensions):
        raise Refused("issuer-newer")
    this, in_list = (header.number, digest), listed.sets.get(header.set)
    if issuer.state == ENDED:
        raise Refused("issuer-ended")
    if issuer.state == KEYS_KEPT and this != in_list:
        raise Refused("not-listed")
    if issuer.state == IN_FORCE:
        for floor in (in_list, pin):
            if floor is not None and header.number < floor[0]:
                raise Refused("older")
            if floor is not None and header.number == floor[0] and digest != floor[1]:
                raise Refused("forked")
        if header.signer[0] == BY_EPOCH and this != in_list:
            raise Refused("not-listed")
        if header.number > (in_list[0] if in_list else 0) + MOST_RISE:
            raise Refused("number")
        if issuer.ends is not None and issuer.ends <= now and this not in (in_list, pin):
            raise Refused("issuer-past")
    if set(header.counts) - {CLIENTS, KEYS}:
        raise Refused("shape")
    if header.count(KEYS)[1] > issuer.keys:
        raise Refused("too-many-keys")
    if header.count(CLIENTS)[1] > issuer.clients:
        raise Refused("too-many-clients")
    return header, issuer


def top(set_id, kind, hashes):
    level = 0
    while len(hashes) > 1:
        level += 1
        hashes = [
            sha256(
                b"keyvault set node"
                + set_id
                + u8(kind)
                + u8(level)
                + u32(place)
                + b"".join(hashes[64 * place : 64 * place + 64])
            )
            for place in range(-(-len(hashes) // 64))
        ]
    return hashes[0]


class Set:
    """Opened pages that have the signed root (steps 3 and 5)."""

    def __init__(self, origin, header, keys, pages, issuer=None):
        self.header, self.issuer = header, issuer
        self.records = {kind: {} for kind in KINDS}
        self.newer = {kind: set() for kind in KINDS}
        self.unreadable = 0
        self._mark = issuer.mark if issuer else None
        rows = [row for row in pages if row[0] != NAMES or NAMES in keys]
        tops, at = {}, 0
        for kind in KINDS:
            if kind == NAMES and NAMES not in keys:
                continue
            count, records = header.count(kind)
            leaves, read = [], 0
            for page in range(count):
                if at == len(rows) or rows[at][:2] != [kind, page]:
                    raise Refused("page-missing")
                sealed = rows[at][2]
                at += 1
                if len(sealed) > LONGEST_PAGE:
                    raise Refused("page-long")
                leaves.append(sha256(b"keyvault set page" + header.set + u8(kind) + u32(page) + sealed))
                if kind in keys:
                    read += self._page(origin, kind, page, keys[kind], sealed)
                if read > records:
                    raise Refused("count")
            if kind in keys and read != records:
                raise Refused("count")
            if leaves:
                tops[kind] = len(leaves), top(header.set, kind, leaves)
        if at != len(rows):
            raise Refused("page-extra")
        parts = b"".join(u8(kind) + u32(pages) + top for kind, (pages, top) in tops.items() if kind != NAMES)
        if sha256(b"keyvault set root" + header.set + parts) != header.root:
            raise Refused("root")
        if NAMES in keys and tops.get(NAMES, (0, None))[1] != header.names:
            raise Refused("names-root")

    def _page(self, origin, kind, page, key, sealed):
        context = origin.context("issued_page", self.header.set + u8(kind) + u32(page))
        try:
            plain = unseal(key, "keyvault set page", context, sealed)
        except NotSealed:
            raise Refused("page-seal") from None
        try:
            content = unpad(plain)
            records = decode(content, lambda reader: reader.list(reader.bytes))
            if len(records) > MOST_RECORDS:
                raise Malformed
            before = None
            for data in records:
                before = self._record(kind, page, data, before)
        except Malformed:
            raise Refused("page-malformed") from None
        return len(records)

    def _record(self, kind, page, data, before):
        """Takes in a record; the key behind which the next one must be."""
        try:
            record = decode(data, RECORDS[kind])
            key = record.id
            if kind in (CLIENTS, KEYS) and self._mark is not None and key[:2] != self._mark:
                raise Malformed
            if place(kind, key) % self.header.count(kind)[0] != page:
                raise Malformed
        except Malformed:
            if self.issuer is None:
                raise
            self.unreadable += 1
            return before
        order = key.encode() if isinstance(key, str) else key
        if before is not None and before >= order:
            raise Malformed
        unknown = [number for number in record.extensions if self.issuer or number % 2 == 0]
        if kind == API:
            self._api(record, unknown)
        if unknown:
            self.newer[kind].add(key)
        else:
            self.records[kind][key] = record
        return order

    def _api(self, record, unknown):
        fields = [number for verifier in record.verifiers for number in verifier.extensions]
        if unknown or any(number % 2 == 0 for number in fields):
            raise Refused("api-newer")
        if record.api != self.header.api:
            raise Malformed
        self.api, self._mark = record, record.mark

    def get(self, kind, key):
        return self.records[kind].get(key)


# Holds


def read_holds(origin, api, verifier, api_key, rows, seen):
    """Ids that are held, and findings. `seen`: count, head, and holds as (number, id)."""
    key = derive(api_key, "keyvault holds", verifier.id)
    entries, findings, before = [], set(), bytes(32)
    for number, sealed in enumerate(rows):
        if verifier.closed and number >= verifier.seen[0]:
            break
        try:
            plain = unseal(key, "keyvault hold", origin.context("issued_hold", verifier.id + u64(number)), sealed)
            both = unpad(plain)
            text, signature = decode(both, lambda reader: (reader.bytes(), reader.bytes()))
            start, held = decode(text, hold)
            if start != (1, origin.vault_id, verifier.epoch, api.api, verifier.id, number, before):
                raise Malformed
        except (NotSealed, Malformed):
            findings.add((0, number, f"damaged {number}"))
            break
        before = sha256(both)
        entries.append((number, held, before, text, signature))

    def head(count):
        return bytes(32) if count == 0 else entries[count - 1][2] if count <= len(entries) else None

    known = seen[0] if head(seen[0]) == seen[1] else 0
    for number, _, _, text, signature in entries[known:]:
        if not verifies(verifier.signer, signature, HOLD, origin.vault_id, verifier.epoch, text):
            findings.add((1, number, f"forged {number}"))
            del entries[number:]
            break
    for count, digest in (verifier.seen, seen[:2]):
        if head(count) is None:
            findings.add((2, count, f"shorter {len(entries)} of {count}"))
        elif head(count) != digest:
            findings.add((3, count, f"other {count - 1}"))
    holds = {(number, held) for number, held, *_ in entries} | set(seen[2])
    open_holds = {held for number, held in holds if number >= verifier.settled and number not in verifier.lifted}
    return sorted(open_holds), [finding for *_, finding in sorted(findings)]


def hold(reader):
    start = (reader.u32(), reader.take(16), reader.u32(), reader.take(16), reader.take(16), reader.u64(), reader.take(32))
    held = id_of(reader)
    reader.i64()
    reader.u8()
    reader.text()
    extensions(reader)
    return start, held


def remembered(data):
    """A reader's memory of a log: a point, and number and id of each hold."""
    entry = lambda reader: (reader.u64(), id_of(reader), reader.i64())[:2]
    return decode(data, lambda reader: (reader.u64(), reader.take(32), reader.list(lambda: entry(reader))))


# Verdicts


def strictest_limit(left, right):
    name, count, per, burst, cost = left
    _, other_count, other_per, other_burst, other_cost = right
    if other_count * per < count * other_per:
        count, per = other_count, other_per
    return name, count, per, min(burst, other_burst), max(cost, other_cost)


class Verdicts:
    def __init__(self, owner, issuers, held, now):
        self.owner, self.issuers, self.held, self.now = owner, issuers, held, now

    def of(self, key_id):
        mark = key_id[:2]
        if mark == self.owner.api.mark:
            return self._key(self.owner, key_id)
        issuer = next((issuer for issuer in self.owner.api.issuers if issuer.mark == mark), None)
        if issuer is None or (mark not in self.issuers and issuer.state == ENDED):
            return "unknown"
        return self._key(self.issuers[mark], key_id) if mark in self.issuers else "unavailable"

    def _above(self, of):
        words = {"active"}
        override = self.owner.get(OVERRIDES, of)
        if override is not None:
            words.add(STATES[override.state])
        if of in self.owner.newer[OVERRIDES]:
            words.add("disabled")
        if of in self.held:
            words.add("held")
        return words

    def _client(self, found, key):
        """The key's client, and the bound that the key is out of."""
        issuer = found.issuer
        if issuer is not None:
            if key.proof in (3, 4):
                return None, "imported"
            if key.prefix not in self.owner.api.prefixes:
                return None, "prefix"
            if set(key.roles) - set(issuer.roles):
                return None, "role"
            if key.expires is None:
                return None, "no-expiry"
        if key.client is None:
            return None, None
        if issuer is None or key.client in issuer.owners_clients:
            client = self.owner.get(CLIENTS, key.client)
        else:
            client = found.get(CLIENTS, key.client) if key.client[:2] == issuer.mark else None
        if client is None:
            return None, "client"
        if issuer is not None and client.id[:2] == issuer.mark and not client.name.startswith(issuer.client_prefix):
            return None, "client-name"
        return client, None

    def _key(self, found, key_id):
        key, issuer = found.get(KEYS, key_id), found.issuer
        if key is None:
            return "unknown"
        client, beyond = self._client(found, key)
        words = self._above(key.id) | {STATES[key.state]}
        if client is not None:
            words |= self._above(client.id) | {STATES[client.state]}
        if key.decoy:
            words.add("decoy")
        ends = [end for end in (key.expires, key.grace_until) if end is not None]
        if issuer is not None and issuer.ends is not None:
            ends.append(min(issuer.ends + issuer.longest_life, 2**63 - 1))
        if key.not_before is not None and self.now < key.not_before:
            words.add("not-yet")
        if ends and min(ends) <= self.now:
            words.add("expired")
        if beyond is None and issuer is not None and key.expires > self.now + issuer.longest_life:
            beyond = "life"
        if beyond is not None:
            words.add("refused")
        word = max(words, key=STRICTNESS.index)
        return {
            "standing": f"refused: {beyond}" if word == "refused" else word,
            "client": client.name if client else None,
            "ends": min(ends) if ends else None,
            "scopes": self._scopes(key, issuer),
            "limits": self._limits(key, client, issuer),
            "quotas": self._quotas(key, client, issuer),
        }

    def _scopes(self, key, issuer):
        scopes = set(key.scopes)
        for role in key.roles:
            meaning = self.owner.get(WORDS, role)
            if meaning is not None and not meaning.is_scope:
                scopes |= set(meaning.scopes)
        if issuer is not None:
            scopes &= set(issuer.scopes)
        meanings = {scope: self.owner.get(WORDS, scope) for scope in scopes}
        return sorted(scope for scope, meaning in meanings.items() if meaning is not None and meaning.is_scope)

    @staticmethod
    def _joined(own, clients, bounds, is_issuers, strictest):
        """Terms of one sort by whose they are and their name."""
        joined = {("key", name): (name, *rest) for name, *rest in own}
        for name, *rest in clients:
            if is_issuers or ("key", name) not in joined:
                joined["client", name] = (name, *rest)
        for name, *rest in bounds:
            joined["key", name] = strictest(joined.get(("key", name), (name, *rest)), (name, *rest))
        # A key's before its client's.
        return sorted(joined.items(), key=lambda item: (item[0][0] == "client", item[0][1]))

    def _limits(self, key, client, issuer):
        clients = client.terms.limits if client else []
        bounds = issuer.limits if issuer else []
        joined = self._joined(key.terms.limits, clients, bounds, issuer is not None, strictest_limit)
        return [[whose, *limit] for (whose, _), limit in joined]

    def _quotas(self, key, client, issuer):
        clients = client.terms.quotas if client else []
        bounds = issuer.quotas if issuer else []
        joined = self._joined(key.terms.quotas, clients, bounds, issuer is not None, min)
        return [[whose, *quota] for (whose, _), quota in joined]


def read(vector):
    """The outcome of a vector, as `tests/library/sets/outcome.rs` writes it."""
    now = vector["now"]
    origin = Origin(bytes.fromhex(vector["vault"]), vector["epoch"], bytes.fromhex(vector["owner"]))
    api_key = bytes.fromhex(vector["api_key"])
    listed = Listed(bytes.fromhex(vector["list"]), bytes.fromhex(vector["bound"]))

    def parts(row):
        pages = [[kind, page, bytes.fromhex(sealed)] for kind, page, sealed in row["pages"]]
        return bytes.fromhex(row["header"]), bytes.fromhex(row["signature"]), pages

    def page_keys(set_id):
        return {kind: derive(api_key, "keyvault set", set_id + u8(kind)) for kind in KINDS if kind != NAMES}

    text, signature, pages = parts(vector["owners"])
    header = owners_header(origin, listed, bytes.fromhex(vector["api"]), text, signature)
    keys = page_keys(header.set)
    if vector["names_key"] is not None:
        keys[NAMES] = bytes.fromhex(vector["names_key"])
    owner = Set(origin, header, keys, pages)

    issuers, words = {}, {}
    for row in vector["issuers"]:
        pin = vector["pins"].get(row["set"])
        pin = None if pin is None else (pin[0], bytes.fromhex(pin[1]))
        text, signature, pages = parts(row)
        try:
            header, issuer = issuers_header(origin, listed, owner.api, text, signature, pin, now)
            found = Set(origin, header, page_keys(header.set), pages, issuer)
        except Refused as refused:
            words[row["set"]] = refused.reason
            continue
        issuers[issuer.mark] = found
        words[row["set"]] = f"taken, {found.unreadable} unreadable" if found.unreadable else "taken"

    held, holds = set(), {}
    for verifier in owner.api.verifiers:
        name = verifier.id.hex()
        rows = [bytes.fromhex(row) for row in vector["holds"].get(name, [])]
        seen = remembered(bytes.fromhex(vector["seen"][name])) if name in vector["seen"] else (0, bytes(32), [])
        ids, findings = read_holds(origin, owner.api, verifier, api_key, rows, seen)
        holds[name] = {"held": ids, "findings": findings}
        held |= set(ids)
    verdicts = Verdicts(owner, issuers, held, now)
    return {
        "fresh": owner.header.fresh_until is None or now < owner.header.fresh_until,
        "names": sorted(owner.records[NAMES]),
        "issuers": words,
        "holds": holds,
        "keys": {key_id: verdicts.of(key_id) for key_id in vector["ask"]},
    }


def outcome(vector):
    try:
        return read(vector)
    except Refused as refused:
        return {"refused": refused.reason}


def edited(value, edits):
    """`value` with each edit: a JSON pointer, and the value that is put there."""
    whole = {"": copy.deepcopy(value)}
    for pointer, put in edits:
        within, last = whole, ""
        for step in pointer.split("/")[1:]:
            within, last = within[last], step
            last = int(last) if isinstance(within, list) else last
        within[last] = put
    return whole[""]


def main(path):
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    for vector in vectors["vectors"]:
        found = outcome(edited(vectors["base"], vector["edits"]))
        agrees = found == edited(vectors["outcome"], vector["outcome"])
        print(f"{vector['name']}: {'agrees' if agrees else json.dumps(found, sort_keys=True)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
