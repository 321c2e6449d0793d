#!/usr/bin/python3
"""Reads of a bundle (§10), of which there are no vectors.

`reads.py FILE TOKEN` verifies each line of a file by itself, and its place in its chain, and prints what it tells.
"""

import sys

sys.dont_write_bytecode = True

import json

from audit import NO_MAC, Event
from codec import base64_bytes, u64, with_length
from crypto import equal, mac
from failure import Malformed, NotSealed
from tokens import Token

FIELDS = {
    "format": int,
    "vault": str,
    "epoch": int,
    "token": str,
    "place": str,
    "seq": int,
    "before": str,
    "event": str,
    "mac": str,
}


def _hexadecimal(text, length):
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise Malformed from None
    if data.hex() != text or len(data) != length:
        raise Malformed
    return data


class Read:
    """A line that its MAC and its seal prove."""

    def __init__(self, line, token):
        try:
            fields = json.loads(line)
        except ValueError:
            raise Malformed from None
        if type(fields) is not dict or {name: type(value) for name, value in fields.items()} != FIELDS:
            raise Malformed
        if fields["format"] != 1 or _hexadecimal(fields["token"], 16) != token.id:
            raise Malformed
        keys = token.keys(_hexadecimal(fields["vault"], 16), fields["epoch"])
        self.place = _hexadecimal(fields["place"], 16)
        self.seq = fields["seq"]
        self.before = _hexadecimal(fields["before"], 32)
        self.mac = _hexadecimal(fields["mac"], 32)
        sealed = base64_bytes(fields["event"].encode())
        parts = (self.place, u64(self.seq), self.before, with_length(sealed))
        if not equal(mac(keys["reads"], b"keyvault read", *parts), self.mac):
            raise NotSealed
        where = dict(field="event", revision=self.seq, bound=self.before)
        self.event = Event(keys.open("audit events", "read", sealed, "reads", self.place, **where))


def main(path, text):
    token = Token(text.encode())
    ends = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                read = Read(line, token)
            except (Malformed, NotSealed) as failure:
                print(type(failure).__name__.lower())
                continue
            joined = ends.get(read.place, (0, NO_MAC)) == (read.seq, read.before)
            ends[read.place] = (read.seq + 1, read.mac)
            keys = " ".join(f"{name}@{version}" for name, version in read.event.keys)
            print(f"{read.seq} {read.event.action} {keys}{'' if joined else ', lines before it are missing'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
