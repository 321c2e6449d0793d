"""A vault that its owner opens: the steps of `tests/testkit/README.md`, each verified as §8 says."""

import audit
import slots
import tree
from codec import u8, u32, unpad
from crypto import derive, digest, epochs_signer, equal, mac, sha256
from failure import Alarm, Damaged, Failure, Hostile, Malformed, NotSealed, structure
from file import VAULTS_LEDGER, VaultFile
from objects import Key, Ledgers, Names, RemovedKey, Scope, Tokens
from record import Record
from tokens import FormerToken, TokenRecord
from tree import HEADER, KEY, FORMER, LEDGERS, NAMES, REMOVED, SCOPE, SLOT, TOKEN, TOKENS

WORDS = {KEY: "key", SCOPE: "scope", TOKEN: "token", NAMES: "names", TOKENS: "tokens", REMOVED: "removed", LEDGERS: "ledgers", FORMER: "former"}
STRUCTURES = {KEY: Key, SCOPE: Scope, TOKEN: TokenRecord, NAMES: Names, TOKENS: Tokens, REMOVED: RemovedKey, LEDGERS: Ledgers, FORMER: FormerToken}


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
        row = self.file.first("log", "id = ?", place)
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
        first = self.file.raw("SELECT min(id) FROM log WHERE id >> 32 = 0 AND change > ?", number)[0][0]
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

    def open_object(self, kind, at, revision, sealed):
        """The plaintext of an object in its place (§3)."""
        return self.keys.open("metadata", "object", sealed, "object", u8(kind) + at, revision=revision)

    def object_at(self, kind, at):
        """An object held against the tree and opened; None if it is proved that there is none."""
        word = WORDS[kind]
        row = self.file.object(kind, at)
        known = self.tree.leaf(at)
        if row is None and known is None:
            return None
        if row is None or known is None or not equal(tree.object_leaf(self.keys, *row), known):
            raise Damaged(f"tree-{word}")
        try:
            plain = self.open_object(*row)
        except NotSealed:
            raise Damaged(f"{word}-seal") from None
        return structure(lambda: STRUCTURES[kind](plain), f"{word}-malformed", "row-newer")

    def tags_of(self, kind):
        """The tags of a kind's rows, in byte order."""
        return [row[1] for row in self.file.of_kind(kind)]

    def key_at(self, at):
        return self.object_at(KEY, at)

    def read(self, name):
        """A key with the values of its versions by number; None if it is proved that there is none."""
        key = self.key_at(tree.tag(self.keys, KEY, name.encode()))
        return key and (key, self.values(key))

    def values(self, key):
        self.release()
        return {version.number: self.value(key, version) for version in key.versions if version.digest is not None}

    def value(self, key, version):
        where = (key.id, version.number)
        row = self.file.version(*where)
        if row is None:
            raise Damaged("version-missing")
        wrapped, sealed = row
        if digest(self.keys["tree"], b"keyvault version rows", sha256(wrapped), sha256(sealed)) != version.digest:
            raise Damaged("version-rows")
        try:
            version_key = self.open_version_key(*where, wrapped)
        except NotSealed:
            raise Damaged("version-key-seal") from None
        if len(version_key) != 32:
            raise Damaged("version-key-seal")
        try:
            value = unpad(self.keys.open(version_key, "value", sealed, "version", *where))
        except NotSealed:
            raise Damaged("value-seal") from None
        except Malformed:
            raise Damaged("value-malformed") from None
        if not equal(mac(self.keys["fingerprint"], b"keyvault fingerprint", value)[:6], version.fingerprint):
            raise Damaged("fingerprint")
        return value

    def open_version_key(self, key, number, wrapped):
        return self.keys.open("wrapping", "version key", wrapped, "version", key, number, field="wrapped")

    def other_leaves(self, leaves):
        """Tag and leaf of all rows but those of keys, of whatever kind; a slot's as it stands (§8)."""
        numbers = range(1, slots.HIGHEST_NUMBER + 1)
        expected = [(at, leaves[at]) for at in map(self.slot_tag, numbers) if at in leaves]
        expected.append((tree.tag(self.keys, HEADER), self.header_leaf()))
        for row in self.file.objects():
            if row[0] != KEY:
                expected.append((row[1], tree.object_leaf(self.keys, *row)))
        return expected

    def list(self):
        """All keys; that the rows but those of slots have the tree's leaves, all of them and no other (§8)."""
        leaves = self.tree.all_leaves()
        tags = self.tags_of(KEY)
        keys = [self.key_at(at) for at in tags]
        others = self.other_leaves(leaves)
        if any(leaves.get(at) != leaf for at, leaf in others):
            raise Damaged("row-forged")
        if set(leaves) != {*tags, *(at for at, _ in others)}:
            raise Damaged("key-missing")
        return sorted(keys, key=lambda key: key.name.encode())

    def scope(self, name):
        """The keys of a scope, with their values; None if it is proved that there is no such scope."""
        scope = self.object_at(SCOPE, tree.tag(self.keys, SCOPE, name.encode()))
        if scope is None:
            return None
        found = []
        for member in scope.members:
            key = self.key_at(member)
            if key is None or name not in key.scopes:
                raise Damaged("scope-members")
            found.append((key, self.values(key)))
        return found

    def names(self):
        """Names of all keys, and of all scopes."""
        keys = [self.object_at(NAMES, at) for at in self.tags_of(NAMES)]
        scopes = [self.object_at(SCOPE, at) for at in self.tags_of(SCOPE)]
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
        first_key = self._first_key(self.chain_seed, "vault", field="chain_seed")
        head = self.file.head(VAULTS_LEDGER)
        if head is None:
            raise Damaged("missing-row")
        highest = self.file.raw("SELECT max(id) FROM log WHERE id >> 32 = 0")[0][0]
        return audit.verify(self.keys, first_key, head[1:], highest, self.entry)

    def _first_key(self, sealed, table, row=b"", field=""):
        """k₀ of one of the owner's ledgers; None without root."""
        if self.root is None:
            return None
        root = slots.Keys(self.vault_id, self.epoch, self.root, "root")
        try:
            first_key = root.open("chain seed", "audit seed", sealed, table, row, field=field)
        except NotSealed:
            raise Damaged("seed-seal") from None
        if len(first_key) != 32:
            raise Damaged("seed-seal")
        return first_key

    def device_keys(self, ledger):
        """k₀ and the keys of a device's ledger (§2)."""
        keys = LedgerKeys(self.keys, ledger.id)
        return self._first_key(ledger.seed, "log_head", ledger.id, "seed"), keys

    def tokens(self):
        """All records of tokens."""
        self.tokens_listed()
        return [self.object_at(TOKEN, at) for at in self.tags_of(TOKEN)]

    def tokens_listed(self):
        """Whether the records are those that the list names (§6)."""
        listed = self.object_at(TOKENS, tree.tag(self.keys, TOKENS))
        if self.tags_of(TOKEN) != (listed.tags if listed else []):
            raise Damaged("tokens")


class LedgerKeys:
    """The keys of a device's ledger, in the place of the vault's (§2)."""

    def __init__(self, keys, ledger):
        self._keys = keys
        context = u32(1) + keys.vault_id + u32(keys.epoch) + ledger
        self._own = {
            f"audit {word}": derive(keys[f"audit {word}"], f"keyvault ledger {word}", context)
            for word in ("events", "append")
        }

    def open(self, key, *place, **more):
        return self._keys.open(self._own[key], *place, **more)
