"""A vault as the bearer of a token reads it (§10, "A bearer")."""

from codec import unpad
from crypto import equal, sha256
from failure import Alarm, Damaged, Locked, Malformed, NotSealed
from file import VaultFile
from tokens import BEARER, grants_hash, open_grant, signed_view


class BearerVault:
    def __init__(self, path, token, pin=None):
        """The step `open`; `pin` is the number of the view that was seen and the hash of its sealed text (§11)."""
        self.file = VaultFile(path)
        try:
            self.vault_id, self.epoch, _, _, self._signer = self.file.single("vault")
        except BaseException:
            self.file.close()
            raise
        self._token = token
        self._pin = pin
        self.keys = token.keys(self.vault_id, self.epoch)

    def close(self):
        self.file.close()

    def granted(self, now):
        """View and grants, held against pin, time, and one another."""
        row = self.file.first("token_view", "token = ?", self._token.id)
        if row is None:
            raise Locked("no-view")
        _, change, sealed = row
        try:
            plain = self.keys.open("view", "token view", sealed, "token_view", self._token.id, revision=change)
        except NotSealed:
            raise Damaged("view-seal") from None
        self.view = signed_view(
            plain, BEARER, self._token.id, change, self.keys, self._signer, self._token.signer_id
        )
        if self._pin is not None:
            seen, state, _ = self._pin
            if change < seen:
                raise Alarm("view-rolled-back")
            if change == seen and sha256(sealed) != state:
                raise Alarm("view-forked")
        if self.view.expires is not None and self.view.expires <= now:
            raise Locked("token-expired")
        rows = [row[1:] for row in self.file.select("token_grant", "token = ? ORDER BY key", self._token.id)]
        if len(rows) != self.view.count or grants_hash(rows) != self.view.grants_hash:
            raise Damaged("grants")
        self.grants = {}
        for key, sealed in rows:
            self.grants[key] = open_grant(self.keys, self._token.id, key, sealed)

    def take(self, key):
        """The values of a granted key by the numbers of their versions."""
        return {version.number: self._value(key, version) for version in self.grants[key].versions}

    def _value(self, key, version):
        row = self.file.version(key, version.number)
        if row is None or not equal(sha256(row[1]), version.hash):
            raise Damaged("value-granted")
        try:
            plain = self.keys.open(version.key, "value", row[1], "version", key, version.number)
            return unpad(plain)
        except NotSealed:
            raise Damaged("value-seal") from None
        except Malformed:
            raise Damaged("value-malformed") from None
