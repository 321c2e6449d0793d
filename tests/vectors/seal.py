#!/usr/bin/env python3
"""Makes seal.json: sealed texts of known key, label, context and salt.

Written from docs/FORMAT.md with nothing but Python's own hashing, so that the Rust code is held against a second
reading of the format and not against itself. XChaCha20-Poly1305 follows RFC 8439 and draft-irtf-cfrg-xchacha-03;
the draft's own vector (A.3.1) is checked before anything is written. Not for real secrets: it takes no care of time.
"""

import hashlib
import hmac
import json
import pathlib
import struct

MASK = 0xFFFFFFFF


def rounds(state):
    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & MASK
            mixed = s[z] ^ s[x]
            s[z] = (mixed << turn | mixed >> (32 - turn)) & MASK

    s = list(state)
    for _ in range(10):
        for column in range(4):
            quarter(column, column + 4, column + 8, column + 12)
        for diagonal in range(4):
            quarter(diagonal, (diagonal + 1) % 4 + 4, (diagonal + 2) % 4 + 8, (diagonal + 3) % 4 + 12)
    return s


def start(key, tail):
    return struct.unpack("<16I", b"expand 32-byte k" + key + tail)


def hchacha20(key, nonce16):
    mixed = rounds(start(key, nonce16))
    return struct.pack("<8I", *mixed[:4], *mixed[12:])


def chacha20(key, nonce12, counter, text):
    out = bytearray()
    for offset in range(0, len(text), 64):
        state = start(key, struct.pack("<I", counter + offset // 64) + nonce12)
        stream = struct.pack("<16I", *((a + b) & MASK for a, b in zip(state, rounds(state))))
        out += bytes(a ^ b for a, b in zip(text[offset : offset + 64], stream))
    return bytes(out)


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    sum_ = 0
    for offset in range(0, len(message), 16):
        block = message[offset : offset + 16] + b"\x01"
        sum_ = (sum_ + int.from_bytes(block, "little")) * r % ((1 << 130) - 5)
    return ((sum_ + int.from_bytes(key[16:], "little")) % (1 << 128)).to_bytes(16, "little")


def xchacha20_poly1305(key, nonce24, aad, plaintext):
    subkey, nonce12 = hchacha20(key, nonce24[:16]), bytes(4) + nonce24[16:]
    body = chacha20(subkey, nonce12, 1, plaintext)
    pad = lambda part: part + bytes(-len(part) % 16)
    lengths = struct.pack("<QQ", len(aad), len(body))
    return body, poly1305(chacha20(subkey, nonce12, 0, bytes(32)), pad(aad) + pad(body) + lengths)


def hkdf_sha256(ikm, info, length):
    prk = hmac.digest(bytes(32), ikm, hashlib.sha256)
    okm, block = b"", b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(prk, block + info + bytes([number]), hashlib.sha256)
        okm += block
    return okm[:length]


def seal(key, label, context, salt, plaintext):
    info = bytes([len(label)]) + label + salt + struct.pack("<I", len(context)) + context
    okm = hkdf_sha256(key, info, 64)
    body, tag = xchacha20_poly1305(okm[:32], salt, context, plaintext)
    return salt + okm[32:] + body + tag


def check_against_the_draft():
    text = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    key, nonce = bytes(range(0x80, 0xA0)), bytes(range(0x40, 0x58))
    _, tag = xchacha20_poly1305(key, nonce, bytes.fromhex("50515253c0c1c2c3c4c5c6c7"), text)
    assert tag.hex() == "c0875924c1c7987947deafd8780acf49", tag.hex()


def main():
    check_against_the_draft()
    cases = []
    for number, (label, context_len, plain_len) in enumerate(
        (label, context_len, plain_len)
        for label in ("", "label", "a label of some length, as long as fits in one block of the hash and over")
        for context_len in (0, 1, 16, 333)
        for plain_len in (0, 1, 15, 16, 17, 64, 65, 1000)
    ):
        stream = hashlib.shake_256(b"keyvault seal vector %d" % number).digest(56 + context_len + plain_len)
        key, salt, rest = stream[:32], stream[32:56], stream[56:]
        context, plaintext = rest[:context_len], rest[context_len:]
        sealed = seal(key, label.encode(), context, salt, plaintext)
        names = ("key", "salt", "context", "plaintext", "sealed")
        parts = (key, salt, context, plaintext, sealed)
        cases.append({"label": label, **{name: part.hex() for name, part in zip(names, parts)}})
    lines = ",\n".join(json.dumps(case) for case in cases)
    pathlib.Path(__file__).with_name("seal.json").write_text(f"[\n{lines}\n]\n")


main()
