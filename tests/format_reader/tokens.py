"""Tokens: their text, records, views, and grants (§10)."""

import zlib

import grammar
import objects
import sets
from codec import ascending, decode, unpad
from crypto import SUCCESSION, VIEW, Keys, derive, sha256, signer_id, verifies
from failure import Damaged, Locked, Malformed, Newer, NotSealed, structure
from slots import BLANK

BEARER, SESSION, VERIFIER, ISSUER = 1, 2, 3, 4
CURRENT, PREVIOUS = 0, 1
WITHHELD = 2
_DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _base62(digits):
    value = 0
    for digit in digits:
        place = _DIGITS.find(digit)
        if place < 0:
            raise Locked("not-a-token")
        value = value * 62 + place
    return value


class Token:
    """What its bearer has."""

    def __init__(self, data):
        text = data.strip(BLANK)
        if len(text) != 75 or not text.startswith(b"kvt_"):
            raise Locked("not-a-token")
        _base62(text[4:47])
        signer, checksum = _base62(text[47:69]), _base62(text[69:])
        if checksum != zlib.crc32(text[:69]) or signer >= 1 << 128:
            raise Locked("not-a-token")
        self.signer_id = signer.to_bytes(16, "big")
        secret = derive(text[4:69], "keyvault token", b"")
        self.id = derive(secret, "keyvault token id", b"")[:16]
        self.reader = derive(secret, "keyvault token reader", b"")

    def keys(self, vault_id, epoch):
        return Keys(vault_id, epoch, self.reader, "token")


def hold_kind(kind, expires, apis):
    """§10: which kinds there are, that a session has an end, and whose APIs there are."""
    ascending([api for api, _ in apis])
    own = [set_id for _, set_id in apis if set_id is not None]
    fits = {
        BEARER: not apis,
        SESSION: not apis and expires is not None,
        VERIFIER: apis and not own,
        ISSUER: len(apis) == len(own) == 1,
    }
    if not fits.get(kind):
        raise Malformed


def read_apis(reader):
    return reader.list(lambda: (reader.take(16), reader.option(lambda: reader.take(16))))


class TokenRecord:
    """A token's record in its owner's vault, out of its padding."""

    def __init__(self, plain):
        self.take(unpad(plain))

    def take(self, data):
        decode(data, self._read)
        hold_kind(self.kind, self.expires, self.apis)
        if self.kind == ISSUER and (self.scopes or self.keys_named):
            raise Malformed
        grammar.name(self.name)
        ascending([grammar.scope(scope).encode() for scope in self.scopes])
        ascending(self.keys_named)
        ascending([place for place, _, _ in self.places])

    def _read(self, reader):
        self.name = reader.text()
        self.kind = reader.u8()
        self.id = reader.take(16)
        self.reader = reader.take(32)
        self.first_key = reader.take(32)
        self.scopes = reader.list(reader.text)
        self.keys_named = reader.list(lambda: reader.take(16))
        self.created = reader.i64()
        self.expires = reader.option(reader.i64)
        self.revoked = reader.option(reader.i64)
        self.made_by = reader.text()
        self.view = reader.option(lambda: (reader.u64(), reader.take(16)))
        self.reads = reader.u64()
        self.last_mac = reader.take(32)
        self.places = reader.list(lambda: (reader.take(16), reader.u64(), reader.take(32)))
        self.apis = read_apis(reader)
        reader.extensions()

    def keys(self, vault_id, epoch):
        return Keys(vault_id, epoch, self.reader, "token")


class Proof:
    """A signed succession (§6, "Former token")."""

    def __init__(self, reader):
        self.former_epoch = reader.u32()
        self.former_signer = reader.bytes()
        self.text = reader.bytes()
        self.signature = reader.bytes()
        self.ends = decode(self.text, self._read)

    def _read(self, reader):
        self.epoch = reader.u32()
        self.signer = reader.bytes()
        ends = reader.i64()
        reader.extensions()
        return ends

    def leads_to(self, former_id, signer, vault_id, epoch):
        """Whether the signer with this id signed that `signer` follows it in this epoch, the one after its own."""
        return (
            signer_id(self.former_signer) == former_id
            and verifies(self.former_signer, self.signature, SUCCESSION, vault_id, self.former_epoch, self.text)
            and self.former_epoch + 1 == self.epoch == epoch
            and self.signer == signer
        )

    def __eq__(self, other):
        return isinstance(other, Proof) and vars(self) == vars(other)


class FormerToken:
    """A verifier's token of the epoch before, out of its padding (§6)."""

    def __init__(self, plain):
        decode(unpad(plain), self._read)
        record = self.record
        if (record.id, record.kind, record.revoked) != (self.id, VERIFIER, None):
            raise Malformed
        if record.scopes or record.keys_named or record.expires is None or record.expires > self.proof.ends:
            raise Malformed

    def _read(self, reader):
        self.id = reader.bytes()
        self.record = TokenRecord.__new__(TokenRecord)
        self.record.take(reader.bytes())
        self.proof = Proof(reader)
        reader.extensions()


class Head:
    """Kind, id, and change, with which a view and a bundle's content begin."""

    def __init__(self, reader):
        self.kind = reader.u8()
        self.token = reader.take(16)
        self.change = reader.u64()

    def hold(self, kind, token, change):
        if (self.kind, self.token, self.change) != (kind, token, change):
            raise Malformed


class View:
    def __init__(self, data, kind, token, change):
        decode(data, self._read)
        self.head.hold(kind, token, change)
        hold_kind(kind, self.expires, self.apis)
        grammar.name(self.name)

    def _read(self, reader):
        self.head = Head(reader)
        self.name = reader.text()
        self.written = reader.i64()
        self.expires = reader.option(reader.i64)
        self.count = reader.u32()
        self.grants_hash = reader.take(32)
        self.apis = read_apis(reader)
        reader.extensions()


def signed_view(plain, kind, token, change, keys, signer, signer_identity, proof=None):
    """The view of a signed view, by the signer in `vault` (§10, "A bearer"). Behind that of a former token stands `proof`."""
    try:
        text, signature, behind = decode(unpad(plain), _signed_view)
    except (Malformed, Newer):
        raise Damaged("view-malformed") from None
    own = signer_id(signer) == signer_identity and behind == proof
    signed = structure(
        lambda: own and verifies(signer, signature, VIEW, keys.vault_id, keys.epoch, text), "view-origin", "view-newer"
    )
    if not signed:
        raise Damaged("view-origin")
    return structure(lambda: View(text, kind, token, change), "view-malformed", "view-newer")


def _signed_view(reader):
    text, signature = reader.bytes(), reader.bytes()
    return text, signature, Proof(reader) if reader.place < len(reader.data) else None


class GrantedVersion:
    def __init__(self, reader):
        self.number = reader.u32()
        self.state = reader.u8()
        self.grace_until = reader.option(reader.i64)
        self.key = reader.take(32)
        self.hash = reader.take(32)
        if self.state not in (CURRENT, PREVIOUS):
            raise Malformed


class Grant:
    """A grant without padding."""

    def __init__(self, data):
        decode(data, self._read)
        grammar.name(self.name)
        grammar.variable(self.variable)
        ascending([grammar.scope(scope).encode() for scope in self.scopes])
        ascending([version.number for version in self.versions])
        if sum(version.state == CURRENT for version in self.versions) > 1:
            raise Malformed
        if self.disabled and self.versions:
            raise Malformed

    def _read(self, reader):
        self.name = reader.text()
        self.variable = reader.text()
        self.scopes = reader.list(reader.text)
        self.expires = reader.option(reader.i64)
        self.public = objects.flag(reader)
        self.disabled = objects.flag(reader)
        self.value_kind = reader.u8()
        self.versions = reader.list(lambda: GrantedVersion(reader))
        reader.extensions(known=(WITHHELD,))

    def current(self):
        return next((version for version in self.versions if version.state == CURRENT), None)

    def previous(self, now):
        """The version before the current one, while its grace lasts."""
        graced = [
            version
            for version in self.versions
            if version.state == PREVIOUS and (version.grace_until is None or version.grace_until > now)
        ]
        return graced[-1] if graced else None


def open_grant(keys, token, key, sealed):
    """A grant in its place in the vault."""
    try:
        plain = keys.open("grants", "token grant", sealed, "token_grant", key, bound=token)
    except NotSealed:
        raise Damaged("grant-seal") from None
    return structure(lambda: Grant(unpad(plain)), "grant-malformed", "grant-newer")


class ApiGrant:
    """The grant of an API without padding."""

    def __init__(self, data):
        decode(data, self._read)

    def _read(self, reader):
        self.is_issuers = sets.choice(reader, 1, 2) == 2
        if self.is_issuers:
            self.owners_set = reader.take(16)
            self.page_keys = [reader.take(32) for _ in range(3)]
            sets.word(reader)
            present = sets.prefix(reader)
            if present not in sets.in_order(reader, sets.prefix):
                raise Malformed
            self.issuer = sets.Issuer(reader)
        else:
            self.api_key = reader.take(32)
        reader.extensions()

    def is_of(self, issued_key, api, set_id):
        """Whether its keys are those of the API, or of the issuer's set in it."""
        api_key = derive(issued_key, "keyvault api", api)
        if set_id is None:
            return not self.is_issuers and self.api_key == api_key
        pages = ((self.owners_set, sets.WORDS), (set_id, sets.CLIENTS), (set_id, sets.KEYS))
        keys = [derive(api_key, "keyvault set", own + bytes([kind])) for own, kind in pages]
        return self.is_issuers and self.page_keys == keys and self.issuer.set == set_id


def open_api_grant(keys, token, api, sealed):
    try:
        plain = keys.open("grants", "api grant", sealed, "token_grant", api, bound=token)
    except NotSealed:
        raise Damaged("grant-seal") from None
    return structure(lambda: ApiGrant(unpad(plain)), "grant-malformed", "grant-newer")


def grants_hash(rows):
    """`rows`: key id and sealed grant, in byte order of ids."""
    return sha256(b"keyvault token grants" + b"".join(key + sha256(sealed) for key, sealed in rows))
