"""Slots and what opens them (§5)."""

import unicodedata

from codec import Reader, base64_bytes, u32
from crypto import Keys, argon2id, derive, equal, sha256
from failure import Hostile, Locked, Malformed, NotSealed

PASSPHRASE, RECOVERY_CODE, KEYRING, KEY_FILE = 1, 2, 3, 4
HIGHEST_NUMBER = 32
# KiB × passes that one opening may cost.
HIGHEST_COST = 10_485_760
BLANK = b" \t\n\f\r"


class Header:
    """A slot's header, taken apart byte after byte."""

    def __init__(self, data):
        reader = Reader(data)
        try:
            self.kind = reader.u8()
            if self.kind not in (PASSPHRASE, RECOVERY_CODE, KEYRING, KEY_FILE):
                raise Hostile("slot-kind")
            self.salt = reader.take(32)
            self.cost = 0
            if self.kind == PASSPHRASE:
                self.memory, self.passes, self.lanes = reader.u32(), reader.u32(), reader.u32()
                reader.end()
                bounds = 19_456 <= self.memory <= 1_048_576 and 1 <= self.passes <= 10 and 1 <= self.lanes <= 8
                if not bounds:
                    raise Hostile("slot-cost")
                self.cost = self.memory * self.passes
            reader.end()
        except Malformed:
            raise Hostile("slot-header") from None


def usable(rows):
    """For each slot in the order of numbers: number, header or the failure that passes over it, and the row."""
    cost = 0
    for number, header, sealed in sorted(rows):
        try:
            if not 1 <= number <= HIGHEST_NUMBER:
                raise Hostile("slot-number")
            parsed = Header(header)
            if cost + parsed.cost > HIGHEST_COST:
                raise Hostile("slot-cost")
            cost += parsed.cost
        except Hostile as failure:
            parsed = failure
        yield number, parsed, (number, header, sealed)


class Credential:
    """A secret that opens slots of one kind."""

    def slot_key(self, header):
        return derive(self.secret, self.label, header.salt)


class Passphrase(Credential):
    kind = PASSPHRASE

    def __init__(self, data):
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Locked("not-a-passphrase") from None
        if not 1 <= len(data) <= 4096:
            raise Locked("not-a-passphrase")
        self.secret = unicodedata.normalize("NFC", text).encode()

    def slot_key(self, header):
        return argon2id(self.secret, header.salt, header.memory, header.passes, header.lanes)


class RecoveryCode(Credential):
    kind = RECOVERY_CODE
    label = "keyvault recovery slot"
    digits = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"

    def __init__(self, data):
        value, count = 0, 0
        for byte in data.upper().translate(bytes.maketrans(b"OIL", b"011"), b"- \t\r\n"):
            digit = self.digits.find(byte)
            if digit < 0:
                raise Locked("not-a-code")
            value, count = value << 5 | digit, count + 1
        if count != 40:
            raise Locked("not-a-code")
        code = value.to_bytes(25, "big")
        self.secret = code[:20]
        if not equal(sha256(b"keyvault recovery code" + self.secret)[:5], code[20:]):
            raise Locked("not-a-code")


def _checked(data, word, length, context):
    """The bytes behind `word`, without the four of their checksum."""
    text = data.strip(BLANK)
    if not text.startswith(word):
        raise Malformed
    both = base64_bytes(text[len(word) :], b"-_", padding=False)
    if len(both) != length + 4 or not equal(sha256(context + both[:length])[:4], both[length:]):
        raise Malformed
    return both[:length]


class KeyFile(Credential):
    kind = KEY_FILE
    label = "keyvault key file slot"

    def __init__(self, data):
        try:
            if len(data) > 256:
                raise Malformed
            self.secret = _checked(data, b"keyvault-key-file:", 32, b"keyvault key file")
        except Malformed:
            raise Locked("not-a-key-file") from None


class KeyringEntry(Credential):
    kind = KEYRING
    label = "keyvault keyring slot"

    def __init__(self, data, vault_id):
        try:
            both = _checked(data, b"keyvault-keyring:", 48, b"keyvault keyring entry")
        except Malformed:
            raise Locked("no-slot") from None
        if both[:16] != vault_id:
            raise Locked("no-slot")
        self.secret = both[16:]


def open_slot(rows, credential, vault_id, epoch):
    """Number of the slot that opens, root if it holds it, and the daily key."""
    fitting = [
        (number, header, row)
        for number, header, row in usable(rows)
        if not isinstance(header, Hostile) and header.kind == credential.kind
    ]
    if not fitting:
        raise Locked("no-slot")
    for number, header, (_, bound, sealed) in fitting:
        key = credential.slot_key(header)
        place = Keys(vault_id, epoch, b"", "")
        try:
            plain = place.open(key, "slot", sealed, "slot", u32(number), bound=bound)
        except NotSealed:
            continue
        if len(plain) != 32:
            continue
        if credential.kind == KEYRING:
            return number, None, plain
        return number, plain, Keys(vault_id, epoch, plain, "root")["daily"]
    raise Locked("wrong-credential")
