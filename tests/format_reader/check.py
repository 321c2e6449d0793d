"""A check of the whole vault (§8): everything held against everything.

Findings are pairs of a row, in the words of `tests/testkit/README.md`, and a failure.
"""

import sqlite3

import audit
import file
import items
import slots
import tree
from codec import u8
from crypto import STATE_RECORD, digest, sha256, signer_id, verifies
from failure import Damaged, Failure, Malformed, Newer, NotSealed
from items import Item
from tokens import TokenRecord, grants_hash, open_grant, signed_view


def check(vault):
    """All findings in a vault that is open and whose state is verified."""
    return _Check(vault).run()


class _Check:
    def __init__(self, vault):
        self.vault = vault
        self.file = vault.file
        self.keys = vault.keys
        self.found = []
        self.rows = {}

    def find(self, row, reason):
        self.found.append((row, Damaged(reason)))

    def run(self):
        if not self.file.sound():
            self.find("file", "pages")
        for table in ("vault", "state", "audit_head"):
            if self.file.raw(f"SELECT count(*) FROM {table}")[0][0] > 1:
                self.find("file", "second-row")
        self.read_columns()
        for part in (self.record, self.log, self.slots, self.items, self.scopes, self.directory, self.tokens):
            part()
        self.strays()
        self.nodes()
        return self.found

    def read_columns(self):
        """The rows of all tables, those left out that have a column of another shape."""
        for table, names in file.COLUMNS.items():
            self.rows[table] = []
            for row in self.file.raw(f"SELECT {', '.join(names)} FROM {table}"):
                try:
                    self.rows[table].append(tuple(file.column(table, *pair) for pair in zip(names, row)))
                except Damaged:
                    self.find(table, "row-shape")

    def attempt(self, row, step):
        """What a step gives; None after a finding."""
        try:
            return step()
        except Failure as failure:
            self.found.append((row, failure))
        except sqlite3.DatabaseError:
            self.find(row, "pages")
        return None

    def record(self):
        """The record's signature, and the entry that it names."""
        vault, record = self.vault, self.vault.record
        try:
            signed = verifies(vault.signer, record.signature, STATE_RECORD, vault.vault_id, vault.epoch, record.bytes)
        except Newer:
            signed = False
        if not signed or signer_id(vault.signer) != record.signer_id or not vault.signs(vault.signer):
            self.find("state", "record-signature")
        place = record.audit_count - 1
        before = vault.entry(place - 1)[1] if place > 0 and vault.entry(place - 1) else audit.NO_MAC
        change, _, sealed = vault.entry(place)
        try:
            event = audit.open_event(self.keys, place, before, sealed)
        except (NotSealed, Malformed):
            return
        if (event.change, event.before) != (record.change, record.before) or change != record.change:
            self.find("state", "record-event")

    def log(self):
        self.attempt("audit", self.vault.log)

    def slots(self):
        _, passed_over = self.vault.slots()
        for number, failure in passed_over.items():
            self.found.append((f"slot {number}", failure))

    def items(self):
        """Keys, their places, and the values of their versions."""
        self.known, self.opened, self.version_rows = [], {}, set()
        for at, revision, sealed in self.rows["item"]:
            row = f"key {at.hex()}"
            try:
                item = Item(self.keys.open("metadata", "item", sealed, "item", at, revision=revision))
                row = f"key {item.name}"
                self.opened[at] = item
            except (NotSealed, Malformed, Newer):
                pass
            item = self.attempt(row, lambda: self.vault.item_at(at))
            if item is None:
                continue
            self.known.append((at, item))
            if tree.tag(self.keys, tree.KEY, item.name.encode()) != at:
                self.find(row, "key-place")
            for version in item.versions:
                if version.digest is not None:
                    self.version_rows.add((item.id, version.number))
                    self.attempt(f"{row} version {version.number}", lambda: self.vault.value(item, version))

    def scopes(self):
        """Scopes, their places, and that they have all keys that carry them."""
        carriers = {}
        for at, item in self.opened.items():
            for name in item.scopes:
                carriers.setdefault(name, set()).add(at)
        tags = {tree.tag(self.keys, tree.SCOPE, name.encode()): name for name in carriers}
        members = {}
        for row in self.file.raw("SELECT scope, item FROM scope_member ORDER BY scope, item"):
            members.setdefault(row[0], []).append(row[1])
        present = {row[0] for row in self.rows["scope"]}
        for at in present:
            row = f"scope {tags[at]}" if at in tags else f"scope {at.hex()}"
            scope = self.attempt(row, lambda: self.vault.scope_at(at))
            inside = self.attempt(row, lambda: self.vault.members(at))
            if scope is None or inside is None:
                continue
            self.attempt(row, lambda: self.vault.members_hold(at, scope, inside))
            if tree.tag(self.keys, tree.SCOPE, scope.name.encode()) != at:
                self.find(row, "scope-name")
            if set(inside) != carriers.get(scope.name, set()):
                self.find(row, "scope-keys")
        for at, name in tags.items():
            if at not in present:
                self.find(f"scope {name}", "scope-missing")
        if not set(members) <= present:
            self.find("scope_member", "member-stray")

    def directory(self):
        """Buckets of names, and that they have all names."""
        belonging = {}
        for item in self.opened.values():
            at = tree.tag(self.keys, tree.KEY, item.name.encode())
            belonging.setdefault(at[0] >> 2, set()).add(item.name)
        present = {row[0] for row in self.rows["directory"]}
        for number in present:
            row = f"directory {number}"
            inside = self.attempt(row, lambda: self.vault.bucket(number))
            if inside is not None and set(inside) != belonging.get(number):
                self.find(row, "names-keys")
        for number in set(belonging) - present:
            self.find(f"directory {number}", "names-missing")

    def tokens(self):
        """Records of tokens, their places, views, grants, and chains."""
        rows = self.rows["token"]
        holds_all = f"leaf {tree.tag(self.keys, tree.TOKENS).hex()}" if not rows else "tokens"
        self.attempt(holds_all, lambda: self.vault.tokens_known(rows))
        with_views, with_reads = set(), set()
        for row in rows:
            at, revision, sealed = row
            name = f"token {at.hex()}"
            try:
                plain = self.keys.open("metadata", "token record", sealed, "token", at, revision=revision)
                name = f"token {TokenRecord(plain).name}"
            except (NotSealed, Malformed, Newer):
                pass
            record = self.attempt(name, lambda: self.vault.token_at(row))
            if record is None:
                continue
            if tree.tag(self.keys, tree.TOKEN, record.name.encode()) != at:
                self.find(name, "token-place")
            with_reads.add(record.id)
            self.attempt(f"token_audit of {record.name}", lambda: self.reads(record))
            if record.revoked is None:
                with_views.add(record.id)
                self.attempt(f"token_grant of {record.name}", lambda: self.grants(record))
        for table, known in (
            ("token_view", with_views),
            ("token_grant", with_views),
            ("token_audit", with_reads),
            ("token_audit_head", with_reads),
        ):
            if any(row[0] not in known for row in self.rows[table]):
                self.find("token_view", "token-stray")

    def reads(self, record):
        """A token's chain: from its own k₀ to its head, through what the record names (§10)."""
        keys = record.keys(self.vault.vault_id, self.vault.epoch)
        own = (row[1:] for row in self.rows["token_audit"] if row[0] == record.id)
        rows = {seq: (None, stored, sealed) for seq, stored, sealed in own}
        head = next((row[1:] for row in self.rows["token_audit_head"] if row[0] == record.id), None)
        if head is None:
            raise Damaged("reads-chain")
        try:
            events = audit.verify(keys, record.first_key, head, max(rows, default=None), rows.get)
        except Failure:
            raise Damaged("reads-chain") from None
        holds = record.reads <= len(events)
        passed = events[record.reads - 1][1] if holds and record.reads else audit.NO_MAC
        if not holds or passed != record.last_mac:
            raise Damaged("reads-chain")

    def grants(self, record):
        """A token's view against its record, its grants against the view and against the keys (§10)."""
        vault = self.vault
        row = next((row for row in self.rows["token_view"] if row[0] == record.id), None)
        if row is None or record.view is None:
            raise Damaged("token-view")
        _, change, sealed = row
        mark = digest(self.keys["tree"], b"keyvault token view mark", sealed)
        if (change, mark) != record.view:
            raise Damaged("token-view")
        keys = record.keys(vault.vault_id, vault.epoch)
        try:
            plain = keys.open("view", "token view", sealed, "token_view", record.id, revision=change)
        except NotSealed:
            raise Damaged("view-seal") from None
        view = signed_view(plain, record.kind, record.id, change, keys, vault.signer, signer_id(vault.signer))
        rows = sorted(row[1:] for row in self.rows["token_grant"] if row[0] == record.id)
        if len(rows) != view.count or grants_hash(rows) != view.grants_hash:
            raise Damaged("grants")
        granted = {}
        for item, sealed_grant in rows:
            granted[item] = open_grant(keys, record.id, item, sealed_grant)
        matching = {
            item.id: item
            for _, item in self.known
            if set(item.scopes) & set(record.scopes) or item.id in record.items
        }
        closed = record.expires is not None and view.written >= record.expires
        complete = set(granted) <= set(matching) if closed else set(granted) == set(matching)
        if not complete or any(not self.grants_key(grant, matching[item]) for item, grant in granted.items()):
            raise Damaged("token-keys")

    def grants_key(self, grant, item):
        """Whether a grant says what the key's row says."""
        if (grant.name, grant.variable, grant.scopes, grant.expires) != (
            item.name,
            item.variable,
            item.scopes,
            item.expires,
        ):
            return False
        usable = {
            version.number: version
            for version in item.versions
            if version.state in (items.CURRENT, items.PREVIOUS) and version.digest is not None
        }
        granted = {version.number for version in grant.versions}
        for number, version in usable.items():
            graced = version.grace_until is None or version.grace_until > self.vault.record.time
            if graced and number not in granted:
                return False
        for version in grant.versions:
            own = usable.get(version.number)
            if own is None or (own.state == items.CURRENT) != (version.state == 0):
                return False
            grace = None if own.state == items.CURRENT else own.grace_until
            if grace != version.grace_until or self.version_key(item.id, own.number) != (
                version.key,
                version.hash,
            ):
                return False
        return True

    def version_key(self, item, number):
        """A version's key and the hash of its sealed value."""
        for (item_id, version, sealed), value in (
            (key, value)
            for key in self.rows["version_key"]
            for value in self.rows["version_value"]
            if key[:2] == value[:2] == (item, number)
        ):
            try:
                key = self.keys.open("wrapping", "version key", sealed, "version_key", item_id, version)
            except NotSealed:
                return None
            return key, sha256(value[2])
        return None

    def strays(self):
        """Rows of versions and leaves that belong to nothing."""
        for table in ("version_key", "version_value"):
            if any(row[:2] not in self.version_rows for row in self.rows[table]):
                self.find(table, "version-stray")
        stood_for = {row[0] for table in ("item", "scope", "token") for row in self.rows[table]}
        stood_for |= {tree.tag(self.keys, tree.DIRECTORY, u8(row[0])) for row in self.rows["directory"]}
        stood_for |= {tree.tag(self.keys, tree.HEADER)}
        stood_for |= {self.vault.slot_tag(row[0]) for row in self.rows["slot"] if 1 <= row[0] <= slots.HIGHEST_NUMBER}
        if self.rows["token"]:
            stood_for.add(tree.tag(self.keys, tree.TOKENS))
        for at, _ in self.rows["leaf"]:
            if at not in stood_for:
                self.find(f"leaf {at.hex()}", "leaf-stray")

    def nodes(self):
        """Nodes that are missing, are not what is above them, or that nothing leads to."""
        bodies = dict(self.rows["node"])
        reached = set()
        waiting = [(0, self.vault.record.root)]
        while waiting:
            number, expected = waiting.pop()
            reached.add(number)
            body = bodies.get(number)
            if body is None or tree.node_digest(self.keys, number, body) != expected:
                self.find(f"node {number}", "tree-path")
                continue
            for index in range(64):
                child = self.attempt(f"node {number}", lambda: tree.child(body, index))
                if child is None or number >= 65:
                    continue
                waiting.append((1 + index if number == 0 else 65 + 64 * (number - 1) + index, child))
        for number in set(bodies) - reached:
            self.find(f"node {number}", "tree-stray")
