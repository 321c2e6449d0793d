"""A check of the whole vault (§8): everything held against everything.

Findings are pairs of a row, in the words of `tests/testkit/README.md`, and a failure.
"""

import sqlite3

import audit
import file
import objects
import sets
import slots
import tree
from codec import u8
from crypto import STATE_RECORD, derive, digest, sha256, signer_id, verifies
from failure import Damaged, Failure, Malformed, Newer, NotSealed
from tokens import grants_hash, open_api_grant, open_grant, signed_view
from vault import STRUCTURES


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
        self.misshapen = set()
        self.in_force = []

    def find(self, row, reason):
        self.found.append((row, Damaged(reason)))

    def run(self):
        if not self.file.sound():
            self.find("file", "pages")
        for table in ("vault", "state"):
            if self.file.raw(f"SELECT count(*) FROM {table}")[0][0] > 1:
                self.find("file", "second-row")
        self.read_columns()
        for part in (self.record, self.log, self.slots, self.keys_there, self.scopes, self.names, self.removed, self.ledgers, self.tokens, self.sets, self.others):
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
                    row = tuple(file.column(table, *pair) for pair in zip(names, row))
                    self.rows[table].append(file.in_place(table, row))
                except Damaged:
                    self.find(table, "row-shape")
                    self.misshapen.add(table)

    def attempt(self, row, step):
        """What a step gives; None after a finding."""
        try:
            return step()
        except Failure as failure:
            self.found.append((row, failure))
        except sqlite3.DatabaseError:
            self.find(row, "pages")
        return None

    def sets(self):
        """The list of sets, and rows of sets that it does not have (§13)."""
        raw = self.file.raw
        rows = raw("SELECT list FROM issued_list WHERE id = 1")
        text = rows[0][0] if rows else bytes(4)
        if sha256(text) != self.vault.record.sets:
            self.find("issued_list", "sets")
            return
        listed = sets.Listed(text, self.vault.record.sets)
        headers = {row[0]: row[1:] for row in raw("SELECT set_id, header, signature FROM issued_set")}
        for set_id in set(listed.sets) - set(headers):
            self.find(f"set {set_id.hex()}", "sets")
        owners, pages, holds = {}, 0, 0
        for set_id, row in sorted(headers.items(), key=lambda item: not sets.is_owners(item[1][0])):
            try:
                found, count = self.set(listed, owners, set_id, *row)
                pages += count
            except sets.Refused:
                self.find(f"set {set_id.hex()}", "sets")
                continue
            if found.issuer is None:
                owners[found.header.api] = found
                holds += self.holds(found)
        for table, known in (("issued_page", pages), ("issued_hold", holds)):
            if raw(f"SELECT count(*) FROM {table}")[0][0] != known:
                self.find(table, "sets")
        self.entries(owners)

    def set(self, listed, owners, set_id, text, signature):
        """A set that verifies as of the record's time, and how many pages it has."""
        vault, issued = self.vault, self.keys["issued keys"]
        origin = sets.Origin(vault.vault_id, vault.epoch, vault.signer)
        claimed = sets.parse_header(text)
        if claimed.set != set_id:
            raise sets.Refused("header-malformed")
        api_key = derive(issued, "keyvault api", claimed.api)
        keys = {kind: derive(api_key, "keyvault set", set_id + u8(kind)) for kind in sets.KINDS if kind != sets.NAMES}
        keys[sets.NAMES] = derive(issued, "keyvault set names", set_id)
        query = "SELECT kind, page, sealed FROM issued_page WHERE set_id = ? ORDER BY id"
        pages = [list(row) for row in self.file.raw(query, set_id)]
        if sets.is_owners(text):
            header, issuer = sets.owners_header(origin, listed, claimed.api, text, signature), None
        elif claimed.api in owners:
            api, now = owners[claimed.api].api, self.vault.record.time
            header, issuer = sets.issuers_header(origin, listed, api, text, signature, None, now)
        else:
            raise sets.Refused("no-issuer")
        return sets.Set(origin, header, keys, pages, issuer), len(pages)

    def holds(self, owner):
        """The logs of an API's verifiers; how many rows they have."""
        vault, count = self.vault, 0
        origin = sets.Origin(vault.vault_id, vault.epoch, vault.signer)
        api_key = derive(self.keys["issued keys"], "keyvault api", owner.header.api)
        for verifier in owner.api.verifiers:
            first = int.from_bytes(verifier.id[:4], "big") >> 1 << 32
            rows = self.file.raw("SELECT id, seq, sealed FROM issued_hold WHERE verifier = ? ORDER BY id", verifier.id)
            rows = [sealed for at, (row_id, seq, sealed) in enumerate(rows) if (row_id, seq) == (first + at, at)]
            count += len(rows)
            _, findings = sets.read_holds(origin, owner.api, verifier, api_key, rows, (0, bytes(32), []))
            if findings:
                self.find(f"log of {verifier.name}", "holds")
        return count

    def entries(self, owners):
        """Issuers and verifiers have their tokens, and the reverse (§10)."""
        entered = set()
        for api_id, owner in owners.items():
            row = f"set {owner.header.set.hex()}"
            tokens = [(token, dict(token.apis)) for token in self.in_force if api_id in dict(token.apis)]
            for issuer in owner.api.issuers:
                its = [token.id for token, apis in tokens if apis[api_id] == issuer.set]
                entered |= {(token, api_id) for token in its}
                if issuer.state == sets.IN_FORCE and not its:
                    self.find(row, "sets")
            for verifier in owner.api.verifiers:
                its = [token.id for token, _ in tokens if sets.verifier_id(token.id, api_id) == verifier.id]
                entered |= {(token, api_id) for token in its}
                if not verifier.closed and not its:
                    self.find(row, "sets")
        for token in self.in_force:
            if any((token.id, api) not in entered for api, _ in token.apis):
                self.find(f"token {token.name}", "sets")

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
        self.attempt("log", self.vault.log)

    def slots(self):
        _, passed_over = self.vault.slots()
        for number, failure in passed_over.items():
            self.found.append((f"slot {number}", failure))

    def objects(self, kind):
        """A kind's rows: tag, revision, sealed text."""
        return [row[1:] for row in self.rows["object"] if file.kind_of(row[0]) == kind]

    def opened_object(self, kind, row):
        """What a row seals, whatever the tree says; None if it does not open or is not well-formed."""
        try:
            return STRUCTURES[kind](self.vault.open_object(kind, *row))
        except (NotSealed, Malformed, Newer):
            return None

    def at_its_tag(self, kind, name, at):
        return tree.tag(self.keys, kind, name) == at

    def keys_there(self):
        """Keys, their places, and the values of their versions."""
        self.known, self.opened, self.version_rows = [], {}, set()
        for row in self.objects(tree.KEY):
            at = row[0]
            key = self.opened_object(tree.KEY, row)
            named = f"key {key.name if key else at.hex()}"
            if key is not None:
                self.opened[at] = key
            key = self.attempt(named, lambda: self.vault.key_at(at))
            if key is None:
                continue
            self.known.append((at, key))
            if not self.at_its_tag(tree.KEY, key.name.encode(), at):
                self.find(named, "key-place")
            for version in key.versions:
                if version.digest is not None:
                    self.version_rows.add((key.id, version.number))
                    self.attempt(f"{named} version {version.number}", lambda: self.vault.value(key, version))

    def scopes(self):
        """Scopes, their places, and that they have all keys that carry them."""
        carriers = {}
        for at, key in self.opened.items():
            for name in key.scopes:
                carriers.setdefault(name, set()).add(at)
        tags = {tree.tag(self.keys, tree.SCOPE, name.encode()): name for name in carriers}
        present = {row[0] for row in self.objects(tree.SCOPE)}
        for at in present:
            row = f"scope {tags[at]}" if at in tags else f"scope {at.hex()}"
            scope = self.attempt(row, lambda: self.vault.object_at(tree.SCOPE, at))
            if scope is None:
                continue
            if not self.at_its_tag(tree.SCOPE, scope.name.encode(), at):
                self.find(row, "scope-place")
            if set(scope.members) != carriers.get(scope.name, set()):
                self.find(row, "scope-keys")
        for at, name in tags.items():
            if at not in present:
                self.find(f"scope {name}", "scope-missing")

    def names(self):
        """Buckets of names, their places, and that they have all names."""
        belonging = {}
        for key in self.opened.values():
            at = tree.tag(self.keys, tree.KEY, key.name.encode())
            belonging.setdefault(at[0] >> 2, set()).add(key.name)
        numbers = {tree.tag(self.keys, tree.NAMES, u8(number)): number for number in belonging}
        present = {row[0] for row in self.objects(tree.NAMES)}
        for at in present:
            row = f"names {numbers.get(at, at.hex())}"
            names = self.attempt(row, lambda: self.vault.object_at(tree.NAMES, at))
            if names is None:
                continue
            if not self.at_its_tag(tree.NAMES, names.bucket, at):
                self.find(row, "names-place")
            if set(names.names) != belonging.get(numbers.get(at)):
                self.find(row, "names-keys")
        for number in set(belonging) - {numbers.get(at) for at in present}:
            self.find(f"names {number}", "names-missing")

    def ledgers(self):
        """The list of ledgers, and each device's ledger."""
        self.devices = set()
        own = tree.tag(self.keys, tree.LEDGERS)
        for at, _, _ in self.objects(tree.LEDGERS):
            row = "ledgers" if at == own else f"ledgers {at.hex()}"
            listed = self.attempt(row, lambda: self.vault.object_at(tree.LEDGERS, at))
            if listed and at != own:
                self.find(row, "ledgers-place")
            elif listed:
                for ledger in listed.ledgers:
                    self.devices.add(ledger.id)
                    named = f"log of ledger {ledger.id[:4].hex()}"
                    self.attempt(named, lambda: self.device_reads(ledger))

    def device_reads(self, ledger):
        """A device's chain: from its own k₀ to its head, through its point in the list (§9)."""
        try:
            first_key, keys = self.vault.device_keys(ledger)
        except Failure:
            raise Damaged("reads-chain") from None
        self.chain(ledger.id, keys, first_key, ledger.count, ledger.mac)

    def removed(self):
        """Removed keys, their places, and the values of their versions."""
        for row in self.objects(tree.REMOVED):
            at = row[0]
            key = self.opened_object(tree.REMOVED, row)
            named = f"removed key {key.name if key else at.hex()}"
            key = self.attempt(named, lambda: self.vault.object_at(tree.REMOVED, at))
            if key is None:
                continue
            if not self.at_its_tag(tree.REMOVED, key.id, at):
                self.find(named, "removed-place")
            for version in key.versions:
                if version.digest is not None:
                    self.version_rows.add((key.id, version.number))
                    self.attempt(f"{named} version {version.number}", lambda: self.vault.value(key, version))

    def tokens(self):
        """The list of tokens, their records, the places of those, views, grants, and ledgers."""
        own = tree.tag(self.keys, tree.TOKENS)
        self.attempt("tokens", self.vault.tokens_listed)
        for at, _, _ in self.objects(tree.TOKENS):
            if at != own:
                row = f"tokens {at.hex()}"
                if self.attempt(row, lambda: self.vault.object_at(tree.TOKENS, at)) is not None:
                    self.find(row, "tokens-place")
        with_views, with_reads = set(), {file.VAULTS_LEDGER} | self.devices
        for row in self.objects(tree.TOKEN):
            at = row[0]
            record = self.opened_object(tree.TOKEN, row)
            named = f"token {record.name if record else at.hex()}"
            record = self.attempt(named, lambda: self.vault.object_at(tree.TOKEN, at))
            if record is None:
                continue
            if not self.at_its_tag(tree.TOKEN, record.name.encode(), at):
                self.find(named, "token-place")
            with_reads.add(record.id)
            self.attempt(f"log of {record.name}", lambda: self.reads(record))
            if record.revoked is None:
                with_views.add(record.id)
                self.in_force.append(record)
                self.attempt(f"token_grant of {record.name}", lambda: self.grants(record))
        for row in self.objects(tree.FORMER):
            at = row[0]
            former = self.opened_object(tree.FORMER, row)
            named = f"former token {former.record.name if former else at.hex()}"
            former = self.attempt(named, lambda: self.vault.object_at(tree.FORMER, at))
            if former is None:
                continue
            if not self.at_its_tag(tree.FORMER, former.id, at):
                self.find(named, "former-place")
            with_reads.add(former.id)
            with_views.add(former.id)
            self.attempt(f"log of {former.record.name}", lambda: self.reads(former.record))
            self.in_force.append(former.record)
            self.attempt(f"token_grant of {former.record.name}", lambda: self.former_grants(former))
        for table, known in (("token_view", with_views), ("token_grant", with_views), ("log_head", with_reads)):
            if table in self.misshapen or any(row[0] not in known for row in self.rows[table]):
                self.find("token_view", "token-stray")
        numbers = {row[1] for row in self.rows["log_head"]} | {0}
        if any(row[0] >> 32 not in numbers for row in self.rows["log"]):
            self.find("token_view", "token-stray")

    def others(self):
        """Objects of kinds that this page does not define: the tree knows them, and they stand at their names' tags."""
        for row_id, at, revision, sealed in self.rows["object"]:
            kind = file.kind_of(row_id)
            if kind in STRUCTURES:
                continue
            row = f"object {kind} {at.hex()}"
            if self.attempt(row, lambda: self.vault.tree.leaf(at)) != tree.object_leaf(
                self.keys, kind, at, revision, sealed
            ):
                self.find(row, "tree-object")
            if kind in (tree.HEADER, tree.SLOT):
                self.find(row, "object-kind")
            try:
                name = objects.name_of(self.vault.open_object(kind, at, revision, sealed))
                if name is None or not self.at_its_tag(kind, name, at):
                    self.find(row, "object-place")
            except NotSealed:
                self.find(row, "object-seal")
            except Malformed:
                self.find(row, "object-malformed")

    def reads(self, record):
        """A token's chain: from its own k₀ to its head, through what the record names (§10)."""
        keys = record.keys(self.vault.vault_id, self.vault.epoch)
        self.chain(record.id, keys, record.first_key, record.reads, record.last_mac)

    def chain(self, ledger, keys, first_key, count, last_mac):
        """A chain of reads, through the point at a count."""
        number, *head = next((row[1:] for row in self.rows["log_head"] if row[0] == ledger), (None,))
        if number is None or sum(row[1] == number for row in self.rows["log_head"]) > 1:
            raise Damaged("reads-chain")
        rows = {row[0] & 0xFFFFFFFF: row[1:] for row in self.rows["log"] if row[0] >> 32 == number}
        if any(change is not None for change, _, _ in rows.values()):
            raise Damaged("reads-chain")
        try:
            events = audit.verify(keys, first_key, head, max(rows, default=None), rows.get)
        except Failure:
            raise Damaged("reads-chain") from None
        holds = count <= len(events)
        passed = events[count - 1][1] if holds and count else audit.NO_MAC
        if not holds or passed != last_mac:
            raise Damaged("reads-chain")

    def former_grants(self, former):
        """A former token's succession, and its view and grants (§6)."""
        vault, proof = self.vault, former.proof
        if not proof.leads_to(signer_id(proof.former_signer), vault.signer, vault.vault_id, vault.epoch):
            raise Damaged("view-origin")
        self.grants(former.record, proof)

    def grants(self, record, proof=None):
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
        own = signer_id(vault.signer)
        view = signed_view(plain, record.kind, record.id, change, keys, vault.signer, own, proof)
        rows = sorted(row[1:] for row in self.rows["token_grant"] if row[0] == record.id)
        if len(rows) != view.count or grants_hash(rows) != view.grants_hash:
            raise Damaged("grants")
        if view.apis != record.apis:
            raise Damaged("token-keys")
        granted, apis = {}, dict(record.apis)
        for key_id, sealed_grant in rows:
            if key_id in apis:
                grant = open_api_grant(keys, record.id, key_id, sealed_grant)
                if not grant.is_of(self.keys["issued keys"], key_id, apis.pop(key_id)):
                    raise Damaged("token-keys")
                continue
            granted[key_id] = open_grant(keys, record.id, key_id, sealed_grant)
        matching = {
            key.id: key
            for _, key in self.known
            if set(key.scopes) & set(record.scopes) or key.id in record.keys_named
        }
        closed = record.expires is not None and view.written >= record.expires
        complete = set(granted) <= set(matching) if closed else not apis and set(granted) == set(matching)
        if not complete or any(not self.grants_key(grant, matching[key_id]) for key_id, grant in granted.items()):
            raise Damaged("token-keys")

    def grants_key(self, grant, key):
        """Whether a grant says what the key's row says."""
        if (grant.name, grant.variable, grant.scopes, grant.expires) != (
            key.name,
            key.variable,
            key.scopes,
            key.expires,
        ):
            return False
        usable = {
            version.number: version
            for version in key.versions
            if version.state in (objects.CURRENT, objects.PREVIOUS) and version.digest is not None
        }
        granted = {version.number for version in grant.versions}
        for number, version in usable.items():
            graced = version.grace_until is None or version.grace_until > self.vault.record.time
            if graced and number not in granted:
                return False
        for version in grant.versions:
            own = usable.get(version.number)
            if own is None or (own.state == objects.CURRENT) != (version.state == 0):
                return False
            grace = None if own.state == objects.CURRENT else own.grace_until
            if grace != version.grace_until or self.version_key(key.id, own.number) != (version.key, version.hash):
                return False
        return True

    def version_key(self, key, number):
        """A version's key and the hash of its sealed value."""
        row = self.file.version(key, number)
        try:
            return row and (self.vault.open_version_key(key, number, row[0]), sha256(row[1]))
        except NotSealed:
            return None

    def strays(self):
        """Rows of versions and leaves that belong to nothing."""
        if "version" in self.misshapen or any(row[1:3] not in self.version_rows for row in self.rows["version"]):
            self.find("version", "version-stray")
        stood_for = {row[1] for row in self.rows["object"]}
        stood_for |= {tree.tag(self.keys, tree.HEADER)}
        stood_for |= {self.vault.slot_tag(row[0]) for row in self.rows["slot"] if 1 <= row[0] <= slots.HIGHEST_NUMBER}
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
