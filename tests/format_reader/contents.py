"""What a vault, or a token, gives: the form of `contents/*.json` (tests/testkit/README.md)."""

import objects


def _version(version, value, now):
    state = version.state
    if state == objects.PREVIOUS and version.grace_until is not None and version.grace_until <= now:
        state = objects.RETIRED
    return {
        "number": version.number,
        "state": objects.STATES[state],
        "origin": objects.ORIGINS[version.origin],
        "created": version.created,
        "created_change": version.created_change,
        "since": version.since,
        "since_change": version.since_change,
        "grace_until": version.grace_until,
        "fingerprint": version.fingerprint.hex(),
        "due": version.due,
        "made_by": version.made_by,
        "public": version.public,
        "reason": version.reason,
        "value": None if value is None else value.hex(),
    }


def _status(key, now):
    if key.disabled:
        return "disabled"
    if not any(version.state == objects.CURRENT for version in key.versions):
        return "revoked"
    return "expired" if key.expires is not None and key.expires <= now else "active"


def _key(key, values, now):
    recipe = key.recipe and {
        "kind": key.recipe.kind,
        "length": key.recipe.length,
        "prefix": key.recipe.prefix,
        "alphabet": key.recipe.alphabet,
    }
    decoy, rotation = key.decoy, key.rotation
    return {
        "id": key.id.hex(),
        "name": key.name,
        "variable": key.variable,
        "scopes": key.scopes,
        "tags": dict(key.tags),
        "note": key.note,
        "created": key.created,
        "expires": key.expires,
        "recipe": recipe,
        "owner": key.owner,
        "display_name": key.display_name,
        "value_kind": key.value_kind,
        "public": key.public == 1,
        "disabled": key.disabled and list(key.disabled),
        "decoy": decoy and [decoy.alarm, decoy.on_trip],
        "rotate_every": key.rotate_every,
        "warn": key.warn,
        "unit": key.unit and key.unit.hex(),
        "rotation": rotation
        and {
            "mode": rotation.mode,
            "step": rotation.step,
            "attempt": rotation.attempt.hex(),
            "version": rotation.version,
            "deadline": rotation.deadline,
            "outcome": rotation.outcome,
        },
        "last_change": key.last_change,
        "next_version": key.next_version,
        "status": _status(key, now),
        "versions": [_version(version, values.get(version.number), now) for version in key.versions],
    }


def owners(vault, read, scopes, slots, entries, now):
    """`read`: keys and their values; `scopes`: members' names by scope; `slots`: kinds by number."""
    return {
        "vault": vault.vault_id.hex(),
        "epoch": vault.epoch,
        "change": vault.record.change,
        "entries": entries,
        "slots": [list(slot) for slot in sorted(slots.items())],
        "scopes": scopes,
        "keys": [_key(key, values, now) for key, values in read],
    }


def bearers(grants, take, now):
    """`grants` by key id; `take` gives the values of a key."""
    keys = []
    for key, grant in sorted(grants.items(), key=lambda entry: entry[1].name.encode()):
        values = take(key)
        current, previous = grant.current(), grant.previous(now)
        if grant.expires is not None and grant.expires <= now or current is None:
            continue
        keys.append(
            {
                "name": grant.name,
                "variable": grant.variable,
                "expires": grant.expires,
                "version": current.number,
                "value": values[current.number].hex(),
                "previous": previous and [previous.number, values[previous.number].hex()],
            }
        )
    return {"keys": keys}
