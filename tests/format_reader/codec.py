"""Encodings of FORMAT §1, and extensions (§3)."""

import base64
import binascii
import struct

from failure import Malformed, Newer


class Reader:
    """Takes a structure apart, from its beginning to its end (§1)."""

    def __init__(self, data):
        self.data = data
        self.place = 0
        self._newer = False

    def take(self, length):
        if length > len(self.data) - self.place:
            raise Malformed
        part = self.data[self.place : self.place + length]
        self.place += length
        return part

    def _integer(self, form, length):
        return struct.unpack(form, self.take(length))[0]

    def u8(self):
        return self._integer("<B", 1)

    def u16(self):
        return self._integer("<H", 2)

    def u32(self):
        return self._integer("<I", 4)

    def u64(self):
        return self._integer("<Q", 8)

    def i64(self):
        return self._integer("<q", 8)

    def bytes(self):
        return self.take(self.u32())

    def text(self):
        try:
            return self.bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed from None

    def option(self, read):
        flag = self.u8()
        if flag > 1:
            raise Malformed
        return read() if flag else None

    def list(self, read):
        return [read() for _ in range(self.u32())]

    def extensions(self, known=()):
        """`list(u16 field ‖ bytes(x))` by field; an even one that is not `known` is of a later version (§3)."""
        fields = self.list(lambda: (self.u16(), self.bytes()))
        ascending([number for number, _ in fields])
        self._newer = any(number % 2 == 0 and number not in known for number, _ in fields)
        return dict(fields)

    def end(self):
        if self.place != len(self.data):
            raise Malformed
        if self._newer:
            raise Newer


def decode(data, read):
    """What `read` makes of the whole of `data`: nothing may be left over."""
    reader = Reader(data)
    result = read(reader)
    reader.end()
    return result


def ascending(values):
    """In their order and none twice."""
    if any(low >= high for low, high in zip(values, values[1:])):
        raise Malformed


def u8(value):
    return struct.pack("<B", value)


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def with_length(data):
    """`bytes(x)` of §1."""
    return u32(len(data)) + data


def option_u64(value):
    return b"\0" if value is None else b"\1" + u64(value)


def padded_length(length):
    """The length of pad(x) for an x of `length` bytes (§1)."""
    total = 4 + length
    for step in (32, 64, 128, 256):
        if total <= step:
            return step
    unit = 1 << ((total - 1).bit_length() - 1 - 4)
    return -(-total // unit) * unit


def unpad(data):
    """x of pad(x), with its length and its zeros verified (§1)."""
    reader = Reader(data)
    plain = reader.bytes()
    if len(data) != padded_length(len(plain)) or any(data[reader.place :]):
        raise Malformed
    return plain


def base64_bytes(text, altchars=b"+/", padding=True):
    """Strict base64 or base64url of RFC 4648: one spelling for each sequence of bytes (§1)."""
    try:
        whole = text if padding else text + b"=" * (-len(text) % 4)
        data = base64.b64decode(whole, altchars, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed from None
    spelled = base64.b64encode(data, altchars)
    if (spelled if padding else spelled.rstrip(b"=")) != text:
        raise Malformed
    return data
