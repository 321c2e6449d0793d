"""A bundle's file (§10)."""

import grammar
from codec import Reader, base64_bytes, decode, unpad
from crypto import BUNDLE, signer_id, verifies
from failure import Damaged, Foreign, Format, Locked, Malformed, Newer, NotSealed
from tokens import BEARER, Grant, Head

FIRST_LINE = "keyvault bundle 1"
# White_Space of Unicode.
WHITE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def _sealed(data):
    """The bytes below the first line."""
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise Foreign("not-a-bundle") from None
    if lines[0].rstrip(WHITE) != FIRST_LINE:
        raise Foreign("not-a-bundle")
    return base64_bytes("".join(line.strip(WHITE) for line in lines[1:]).encode())


class Content:
    """A content, verified, with the grants and values of the token."""

    def __init__(self, data, token, change):
        decode(data, self._read)
        self.head.hold(BEARER, token, change)
        grammar.name(self.name)
        self.grants, self._values = {}, {}
        for key, grant, values in self.entries:
            self.grants[key] = Grant(grant)
            numbers = [number for number, _ in values]
            if numbers != [version.number for version in self.grants[key].versions]:
                raise Malformed
            self._values[key] = {number: unpad(value) for number, value in values}

    def _read(self, reader):
        self.head = Head(reader)
        self.name = reader.text()
        self.made = reader.i64()
        self.expires = reader.option(reader.i64)
        values = lambda: reader.list(lambda: (reader.u32(), reader.bytes()))
        self.entries = reader.list(lambda: (reader.take(16), reader.bytes(), values()))
        reader.extensions()

    def take(self, key):
        return self._values[key]


def open_bundle(text, token, now):
    """The content of a bundle that is for this token."""
    try:
        reader = Reader(_sealed(text))
        vault_id, epoch, token_id, change = reader.take(16), reader.u32(), reader.take(16), reader.u64()
        if token_id != token.id:
            raise Locked("other-bundle")
        keys = token.keys(vault_id, epoch)
        sealed = reader.data[reader.place :]
        plain = unpad(keys.open("bundle", "bundle", sealed, "bundle", token.id, revision=change))
        data, signature, signer = decode(plain, lambda part: (part.bytes(), part.bytes(), part.bytes()))
        if signer_id(signer) != token.signer_id or not verifies(signer, signature, BUNDLE, vault_id, epoch, data):
            raise Damaged("bundle-origin")
        content = Content(data, token.id, change)
    except Newer:
        raise Format("bundle-newer") from None
    except (Malformed, NotSealed):
        raise Damaged("bundle") from None
    if content.expires is not None and content.expires <= now:
        raise Locked("token-expired")
    return content
