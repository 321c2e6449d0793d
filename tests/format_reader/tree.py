"""Tags (§6) and the tree over all rows (§7)."""

import struct

from codec import u8, u32, u64
from crypto import digest, equal, sha256
from failure import Damaged

HEADER, SLOT, KEY, SCOPE, TOKEN, NAMES, TOKENS, REMOVED, LEDGERS, FORMER = 1, 2, 3, 4, 5, 7, 8, 14, 15, 17


def tag(keys, kind, name=b""):
    return digest(keys["blind index"], b"keyvault blind index", u8(kind), name)


def object_leaf(keys, kind, at, revision, sealed):
        return digest(keys["tree"], b"keyvault tree leaf", u8(kind), at, u64(revision), sha256(sealed))


def header_leaf(keys, vault_id, epoch, chain_seed, signer, written_by):
    parts = (vault_id, u32(epoch), u64(len(chain_seed)), chain_seed, u64(len(signer)), signer, written_by.encode())
    return digest(keys["tree"], b"keyvault tree leaf", u8(HEADER), *parts)


def slot_leaf(keys, number, header, sealed):
    parts = (u32(number), u64(len(sealed)), sealed, header)
    return digest(keys["tree"], b"keyvault tree leaf", u8(SLOT), *parts)


def bucket_of(at):
    """The first 18 bits of a tag."""
    return int.from_bytes(at[:3], "big") >> 6


def path_of(bucket):
    """For each of the three nodes above a bucket, from the root down: its number, and which child leads on."""
    first, second, third = bucket >> 12, bucket >> 6 & 63, bucket & 63
    return ((0, first), (1 + first, second), (65 + 64 * first + second, third))


def bucket_digest(keys, bucket, leaves):
    """`leaves`: tag and digest, in byte order of tags."""
    return digest(keys["tree"], b"keyvault tree bucket", u32(bucket), *(part for leaf in leaves for part in leaf))


def node_digest(keys, node, body):
    return digest(keys["tree"], b"keyvault tree node", u32(node), body)


def child(body, index):
    """The digest of a node's child, or None where there is none."""
    if len(body) < 8:
        raise Damaged("tree-path")
    bitmap = struct.unpack("<Q", body[:8])[0]
    if bitmap == 0 or len(body) != 8 + 16 * bitmap.bit_count():
        raise Damaged("tree-path")
    if not bitmap >> index & 1:
        return None
    place = 8 + 16 * (bitmap & ((1 << index) - 1)).bit_count()
    return body[place : place + 16]


class Tree:
    """The file's tree under the root digest of a verified record."""

    def __init__(self, file, keys, root):
        self._file = file
        self._keys = keys
        self._root = root
        self._buckets = {}

    def leaf(self, at):
        """The digest that stands at a tag, behind a verified path; None if it is proved that there is none."""
        bucket = bucket_of(at)
        if bucket not in self._buckets:
            self._buckets[bucket] = self._verified(bucket)
        return self._buckets[bucket].get(at)

    def _verified(self, bucket):
        expected = self._root
        for node, index in path_of(bucket):
            row = self._file.first("node", "id = ?", node)
            if row is None or not equal(node_digest(self._keys, node, row[1]), expected):
                raise Damaged("tree-path")
            expected = child(row[1], index)
            if expected is None:
                return {}
        low = (bucket << 6).to_bytes(3, "big")
        high = ((bucket + 1) << 6).to_bytes(4, "big")
        within = "tag >= ? ORDER BY tag" if high[0] else "tag >= ? AND tag < ? ORDER BY tag"
        leaves = self._file.select("leaf", within, *((low,) if high[0] else (low, high[1:])))
        if not equal(bucket_digest(self._keys, bucket, leaves), expected):
            raise Damaged("tree-path")
        return dict(leaves)

    def all_leaves(self):
        """All leaves, held against the root without the nodes that are stored."""
        leaves = self._file.select("leaf", "TRUE ORDER BY tag")
        if self.nodes_over(leaves).get(0, (b"", b""))[1] != self._root:
            raise Damaged("tree-leaves")
        return dict(leaves)

    def nodes_over(self, leaves):
        """Body and digest of each node of a tree with these leaves, by its number."""
        buckets = {}
        for leaf in leaves:
            buckets.setdefault(bucket_of(leaf[0]), []).append(leaf)
        children = {number: bucket_digest(self._keys, number, inside) for number, inside in buckets.items()}
        nodes = {}
        for first in (65, 1, 0):
            parents = {}
            for number in sorted(children):
                parents.setdefault(number >> 6, []).append(number)
            upper = {}
            for number, below in parents.items():
                bitmap = sum(1 << (child & 63) for child in below)
                body = u64(bitmap) + b"".join(children[child] for child in below)
                upper[number] = node_digest(self._keys, first + number, body)
                nodes[first + number] = (body, upper[number])
            children = upper
        return nodes
