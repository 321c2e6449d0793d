"""Primitives (§1), derivation (§2), seals and signatures (§3). Ciphers are libsodium's, Argon2id is libargon2's."""

import functools
import hashlib
import hmac

from argon2.low_level import Type, hash_secret_raw
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from codec import Reader, ascending, u8, u32, u64, with_length
from failure import Malformed, Newer, NotSealed

ED25519 = 1
STATE_RECORD, VIEW, BUNDLE, SET_HEADER, HOLD, SUCCESSION = 1, 2, 3, 4, 5, 6


def sha256(data):
    return hashlib.sha256(data).digest()


def mac(key, *parts):
    return hmac.digest(key, b"".join(parts), "sha256")


def equal(left, right):
    return hmac.compare_digest(left, right)


def digest(key, *parts):
    """HMAC-SHA-256 over the parts, its first 16 bytes (§1)."""
    return mac(key, *parts)[:16]


def hkdf(key, info, length):
    """HKDF-SHA-256 of RFC 5869 with an empty salt."""
    extracted = mac(bytes(32), key)
    block, output = b"", b""
    for count in range(1, -(-length // 32) + 1):
        block = mac(extracted, block, info, u8(count))
        output += block
    return output[:length]


def derive(key, label, context):
    """§2."""
    label = label.encode()
    return hkdf(key, u8(len(label)) + label + with_length(context), 32)


@functools.lru_cache(maxsize=None)
def argon2id(passphrase, salt, memory, passes, lanes):
    """Argon2id version 1.3, 32 bytes (§5)."""
    return hash_secret_raw(passphrase, salt, passes, memory, lanes, 32, Type.ID, version=0x13)


class Keys:
    """The keys of one epoch or of one token, derived by their label as they are asked for (§2)."""

    def __init__(self, vault_id, epoch, source, word):
        self.vault_id = vault_id
        self.epoch = epoch
        self._source = source
        self._word = word
        self._derived = {}

    def __getitem__(self, name):
        if name not in self._derived:
            whole = u32(1) + self.vault_id + u32(self.epoch)
            self._derived[name] = derive(self._source, f"keyvault {self._word} {name}", whole)
        return self._derived[name]

    def open(self, key, label, sealed, table, row=b"", version=0, field="sealed", revision=0, bound=b""):
        """The plaintext of a sealed text in the place that the arguments name (§3)."""
        context = (
            u32(1)
            + self.vault_id
            + u32(self.epoch)
            + with_length(table.encode())
            + with_length(row)
            + u32(version)
            + with_length(field.encode())
            + u64(revision)
            + with_length(bound)
        )
        return unseal(key if isinstance(key, bytes) else self[key], f"keyvault {label}", context, sealed)


def unseal(key, label, context, sealed):
    """seal of §3, backwards."""
    if len(sealed) < 24 + 32 + 16:
        raise NotSealed
    salt, commitment, ciphertext = sealed[:24], sealed[24:56], sealed[56:]
    label = label.encode()
    both = hkdf(key, u8(len(label)) + label + salt + with_length(context), 64)
    if not equal(both[32:], commitment):
        raise NotSealed
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, context, salt, both[:32])
    except CryptoError:
        raise NotSealed from None


def _parts(data):
    """A signer's or a signature's parts by their algorithms (§3)."""
    if len(data) > 8192:
        raise Malformed
    reader = Reader(data)
    parts = reader.list(lambda: (reader.u8(), reader.bytes()))
    reader.end()
    ascending([algorithm for algorithm, _ in parts])
    return dict(parts)


def epochs_signer(seed):
    """The Ed25519 pair of the signing seed, its public half as a signer (§3)."""
    return u32(1) + u8(ED25519) + with_length(crypto_sign_seed_keypair(seed)[0])


def signer_id(signer):
    return sha256(b"keyvault signer" + signer)[:16]


def verifies(signer, signature, kind, vault_id, epoch, text):
    """Whether each algorithm of the signer has its part in the signature, and each holds (§3).

    An algorithm that is not known is of a later version, once the parts before it hold.
    """
    try:
        keys, parts = _parts(signer), _parts(signature)
    except Malformed:
        return False
    if not keys or set(keys) != set(parts):
        return False
    message = b"keyvault signed" + u8(kind) + vault_id + u32(epoch) + with_length(text)
    for algorithm, key in keys.items():
        if algorithm != ED25519:
            raise Newer
        if len(parts[algorithm]) != 64:
            return False
        try:
            crypto_sign_open(parts[algorithm] + message, key)
        except (CryptoError, ValueError):
            return False
    return True
