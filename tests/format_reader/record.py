"""The state record (§8)."""

from codec import decode, with_length
from crypto import equal, mac, sha256
from failure import Damaged, structure

EPOCHS_SIGNER = 1


class Record:
    """A record whose MAC holds."""

    def __init__(self, row, keys):
        self.bytes, self.signature, stored = row
        self.both = with_length(self.bytes) + with_length(self.signature)
        self.hash = sha256(self.both)
        if not equal(mac(keys["state"], b"keyvault state record", self.both), stored):
            raise Damaged("record")
        structure(lambda: decode(self.bytes, self._read), "record", "record-newer")
        place = (self._format, self._vault_id, self._epoch)
        if place != (1, keys.vault_id, keys.epoch) or self.signer_kind != EPOCHS_SIGNER:
            raise Damaged("record")
        if self.change >= 2**62 or self.audit_count >= 2**32:
            raise Damaged("record")

    def _read(self, reader):
        self._format = reader.u32()
        self._vault_id = reader.take(16)
        self._epoch = reader.u32()
        self.change = reader.u64()
        self.time = reader.i64()
        self.root = reader.take(16)
        self.audit_count = reader.u64()
        self.last_mac = reader.take(32)
        self.sets = reader.take(32)
        self.signer_kind = reader.u8()
        self.signer_id = reader.take(16)
        self.before = reader.take(32)
        reader.extensions()
