"""A vault that its owner opens: the steps of `tests/testkit/README.md`, each verified as §8 says."""

import audit
import slots
import tree
from codec import u8, u32, unpad
from crypto import digest, epochs_signer, equal, mac, sha256
from failure import Alarm, Damaged, Failure, Hostile, Malformed, NotSealed, structure
from file import VaultFile
from items import Item, Names, Scope
from record import Record
from tokens import TokenRecord
from tree import DIRECTORY, HEADER, KEY, SCOPE, SLOT, TOKEN, TOKENS


class Vault:
    def __init__(self, path, credential, pin=None):
        """The step `open`. `credential` makes one from the vault's id; `pin` is number, hash, and epoch or None."""
        self.file = VaultFile(path)
        try:
            self.vault_id, self.epoch, self.written_by, self.chain_seed, self.signer = self.file.single("vault")
            opened = slots.open_slot(self.slot_rows(), credential(self.vault_id), self.vault_id, self.epoch)
        except BaseException:
            self.file.close()
            raise
        self.slot, self.root, daily = opened
        self.keys = slots.Keys(self.vault_id, self.epoch, daily, "daily")
        self._pin = pin
        self._suspicion = None

    def close(self):
        self.file.close()

    def state(self):
        """Record, pin, place in the chain, header, and the opened slot: before anything else (§8)."""
        self.record = Record(self.file.single("state"), self.keys)
        self.tree = tree.Tree(self.file, self.keys, self.record.root)
        count = self.record.audit_count
        entry = self.entry(count - 1) if 0 < count <= 1 << 63 else None
        if entry is None or not equal(entry[1], self.record.last_mac):
            raise Damaged("record-chain")
        if self.tree.leaf(tree.tag(self.keys, HEADER)) != self.header_leaf():
            raise Damaged("tree-header")
        self._slot_known(self.file.first("slot", "id = ?", self.slot))
        self._suspicion = self._held_against_pin()

    def header_leaf(self):
        return tree.header_leaf(
            self.keys, self.vault_id, self.epoch, self.chain_seed, self.signer, self.written_by
        )

    def entry(self, place):
        row = self.file.first("audit", "seq = ?", place)
        return row and row[1:]

    def slot_rows(self):
        return self.file.select("slot", "TRUE ORDER BY id")

    def slot_tag(self, number):
        return tree.tag(self.keys, SLOT, u32(number))

    def signs(self, signer):
        """Whether this is the epoch's signer (§3)."""
        return signer == epochs_signer(self.keys["signing"])

    def _slot_known(self, row):
        if self.tree.leaf(self.slot_tag(row[0])) != tree.slot_leaf(self.keys, *row):
            raise Damaged("tree-slot")

    def _held_against_pin(self):
        """What the pin says against this file (§11): None, or an alarm, which no value passes."""
        if self._pin is None:
            return None
        number, state, epoch = self._pin
        if epoch is not None and self.epoch < epoch or self.record.change < number:
            return Alarm("rolled-back")
        if self.record.change == number:
            return None if self.record.hash == state else Alarm("forked")
        return None if self._continues(number, state) else Alarm("forked")

    def _continues(self, number, state):
        """Whether the entries from the first change above the pin's to the record's own lead on from the pin."""
        first = self.file.raw("SELECT min(seq) FROM audit WHERE change > ?", number)[0][0]
        if first is None or not first < self.record.audit_count:
            return False
        before = audit.NO_MAC
        if first > 0:
            row = self.entry(first - 1)
            if row is None:
                return False
            before = row[1]
        changes = []
        for place in range(first, self.record.audit_count):
            row = self.entry(place)
            if row is None:
                return False
            change, stored, sealed = row
            try:
                event = audit.open_event(self.keys, place, before, sealed)
            except (NotSealed, Malformed):
                return False
            if event.change != change:
                return False
            if change is not None:
                changes.append((change, event.before))
            before = stored
        rising = all(low[0] < high[0] for low, high in zip(changes, changes[1:]))
        last = (self.record.change, self.record.before)
        return rising and changes[0][1] == state and changes[-1] == last

    def release(self):
        """A value passes here, or an alarm keeps it."""
        if self._suspicion is not None:
            raise self._suspicion

    def _sealed_row(self, kind, word, table, at, row):
        """The plaintext of a verified row of keys, scopes, or names; None if it is proved that there is none."""
        revision, sealed, place = row if row else (None, None, None)
        known = self.tree.leaf(at)
        if row is None and known is None:
            return None
        if row is None or known is None or not equal(tree.row_leaf(self.keys, kind, at, revision, sealed), known):
            raise Damaged(f"tree-{word}")
        label = "directory" if kind == DIRECTORY else word if kind == SCOPE else "item"
        try:
            return self.keys.open("metadata", label, sealed, table, place, revision=revision)
        except NotSealed:
            raise Damaged(f"{word}-seal") from None

    def item_at(self, at):
        row = self.file.first("item", "tag = ?", at)
        plain = self._sealed_row(KEY, "key", "item", at, row and (row[1], row[2], at))
        return None if plain is None else structure(lambda: Item(plain), "key-malformed", "row-newer")

    def read(self, name):
        """A key with the values of its versions by number; None if it is proved that there is none."""
        item = self.item_at(tree.tag(self.keys, KEY, name.encode()))
        return item and (item, self.values(item))

    def values(self, item):
        self.release()
        return {version.number: self.value(item, version) for version in item.versions if version.digest is not None}

    def value(self, item, version):
        where = (item.id, version.number)
        sealed_key = self.file.first("version_key", "item = ? AND version = ?", *where)
        sealed_value = self.file.first("version_value", "item = ? AND version = ?", *where)
        if sealed_key is None or sealed_value is None:
            raise Damaged("version-missing")
        hashes = sha256(sealed_key[2]), sha256(sealed_value[2])
        if digest(self.keys["tree"], b"keyvault version rows", *hashes) != version.digest:
            raise Damaged("version-rows")
        try:
            key = self.keys.open("wrapping", "version key", sealed_key[2], "version_key", *where)
        except NotSealed:
            raise Damaged("version-key-seal") from None
        if len(key) != 32:
            raise Damaged("version-key-seal")
        try:
            value = unpad(self.keys.open(key, "value", sealed_value[2], "version_value", *where))
        except NotSealed:
            raise Damaged("value-seal") from None
        except Malformed:
            raise Damaged("value-malformed") from None
        if not equal(mac(self.keys["fingerprint"], b"keyvault fingerprint", value)[:6], version.fingerprint):
            raise Damaged("fingerprint")
        return value

    def other_leaves(self, leaves):
        """The leaves that all rows but those of keys must have; a slot's as it stands (§8)."""
        numbers = range(1, slots.HIGHEST_NUMBER + 1)
        expected = {at: leaves[at] for at in map(self.slot_tag, numbers) if at in leaves}
        expected[tree.tag(self.keys, HEADER)] = self.header_leaf()
        for kind, table in ((SCOPE, "scope"), (TOKEN, "token"), (DIRECTORY, "directory")):
            for at, revision, sealed in self.file.select(table):
                at = tree.tag(self.keys, DIRECTORY, u8(at)) if kind == DIRECTORY else at
                expected[at] = tree.row_leaf(self.keys, kind, at, revision, sealed)
        tokens = [row[0] for row in self.file.select("token")]
        if tokens:
            expected[tree.tag(self.keys, TOKENS)] = tree.tokens_leaf(self.keys, tokens)
        return expected

    def list(self):
        """All keys; that the rows but those of slots have the tree's leaves, all of them and no other (§8)."""
        leaves = self.tree.all_leaves()
        tags = [row[0] for row in self.file.select("item", "TRUE ORDER BY tag")]
        items = [self.item_at(at) for at in tags]
        others = self.other_leaves(leaves)
        if not others.items() <= leaves.items():
            raise Damaged("row-forged")
        if set(leaves) != {*tags, *others}:
            raise Damaged("key-missing")
        return sorted(items, key=lambda item: item.name.encode())

    def scope_at(self, at):
        row = self.file.first("scope", "tag = ?", at)
        plain = self._sealed_row(SCOPE, "scope", "scope", at, row and (row[1], row[2], at))
        return None if plain is None else structure(lambda: Scope(plain), "scope-malformed", "row-newer")

    def members(self, at):
        return [row[1] for row in self.file.select("scope_member", "scope = ? ORDER BY item", at)]

    def members_hold(self, at, scope, members):
        expected = digest(self.keys["tree"], b"keyvault scope members", at, *members)
        if scope.count != len(members) or scope.digest != expected:
            raise Damaged("scope-members")

    def scope(self, name):
        """The keys of a scope, with their values; None if it is proved that there is no such scope."""
        at = tree.tag(self.keys, SCOPE, name.encode())
        scope = self.scope_at(at)
        if scope is None:
            return None
        members = self.members(at)
        self.members_hold(at, scope, members)
        found = []
        for member in members:
            item = self.item_at(member)
            if item is None:
                raise Damaged("tree-key")
            if name not in item.scopes:
                raise Damaged("scope-members")
            found.append((item, self.values(item)))
        return found

    def bucket(self, number):
        row = self.file.first("directory", "bucket = ?", number)
        at = tree.tag(self.keys, DIRECTORY, u8(number))
        plain = self._sealed_row(DIRECTORY, "names", "directory", at, row and (row[1], row[2], u8(number)))
        return None if plain is None else structure(lambda: Names(plain).names, "names-malformed", "row-newer")

    def names(self):
        """Names of all keys, and of all scopes."""
        keys = [self.bucket(row[0]) for row in self.file.select("directory", "TRUE ORDER BY bucket")]
        scopes = [self.scope_at(row[0]) for row in self.file.select("scope", "TRUE ORDER BY tag")]
        return keys, scopes

    def slots(self):
        """Slots that the tree knows by number and kind, and the failures of the others by number."""
        known, passed_over = {}, {}
        there = {number: (header, row) for number, header, row in slots.usable(self.slot_rows())}
        for number in sorted({*there, *range(1, slots.HIGHEST_NUMBER + 1)}):
            header, row = there.get(number, (None, None))
            try:
                if isinstance(header, Hostile):
                    raise header
                if row is not None:
                    self._slot_known(row)
                    known[number] = header.kind
                elif self.tree.leaf(self.slot_tag(number)) is not None:
                    raise Damaged("tree-slot")
            except Failure as failure:
                passed_over[number] = failure
        return known, passed_over

    def log(self):
        """The chain's events: from k₀ with root, else each in its place (§9)."""
        first_key = None
        if self.root is not None:
            root = slots.Keys(self.vault_id, self.epoch, self.root, "root")
            try:
                first_key = root.open("chain seed", "audit seed", self.chain_seed, "vault", field="chain_seed")
            except NotSealed:
                raise Damaged("seed-seal") from None
            if len(first_key) != 32:
                raise Damaged("seed-seal")
        head = self.file.single("audit_head")
        highest = self.file.raw("SELECT max(seq) FROM audit")[0][0]
        return audit.verify(self.keys, first_key, head, highest, self.entry)

    def token_at(self, row):
        at, revision, sealed = row
        if self.tree.leaf(at) != tree.row_leaf(self.keys, TOKEN, at, revision, sealed):
            raise Damaged("tree-token")
        try:
            plain = self.keys.open("metadata", "token record", sealed, "token", at, revision=revision)
        except NotSealed:
            raise Damaged("token-seal") from None
        return structure(lambda: TokenRecord(plain), "token-malformed", "row-newer")

    def tokens(self):
        """All records of tokens."""
        rows = self.file.select("token", "TRUE ORDER BY tag")
        self.tokens_known(rows)
        return [self.token_at(row) for row in rows]

    def tokens_known(self, rows):
        """Whether these are the records that the tree knows (§7)."""
        expected = tree.tokens_leaf(self.keys, [row[0] for row in rows]) if rows else None
        if self.tree.leaf(tree.tag(self.keys, TOKENS)) != expected:
            raise Damaged("tokens")
