"""Outcomes of reading a vault that is not as it must be, and parts that do not decode."""


class Malformed(Exception):
    """A structure is not what the format says."""


class Newer(Exception):
    """A structure has an even extension (§3)."""


class NotSealed(Exception):
    """A sealed text does not open in its place (§3)."""


class Failure(Exception):
    """A vault's or a bundle's fault, under the name that `tests/testkit/README.md` gives to it."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class Foreign(Failure):
    kind = "foreign"


class Format(Failure):
    kind = "format"


class Hostile(Failure):
    kind = "hostile"


class Locked(Failure):
    kind = "locked"


class Damaged(Failure):
    kind = "damaged"


class Alarm(Failure):
    kind = "alarm"


def structure(make, malformed, newer):
    """What `make` makes of a structure, or the failure for one that is malformed or of a later version (§3)."""
    try:
        return make()
    except Newer:
        raise Format(newer) from None
    except Malformed:
        raise Damaged(malformed) from None
