"""What a vault, or a token, gives: the form of `contents/*.json` (tests/testkit/README.md)."""

import items


def _version(version, value, now):
    state = version.state
    if state == items.PREVIOUS and version.grace_until is not None and version.grace_until <= now:
        state = items.RETIRED
    return {
        "number": version.number,
        "state": items.STATES[state],
        "origin": items.ORIGINS[version.origin],
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


def _status(item, now):
    if item.disabled:
        return "disabled"
    if not any(version.state == items.CURRENT for version in item.versions):
        return "revoked"
    return "expired" if item.expires is not None and item.expires <= now else "active"


def _key(item, values, now):
    recipe = item.recipe and {
        "kind": item.recipe.kind,
        "length": item.recipe.length,
        "prefix": item.recipe.prefix,
    }
    decoy, rotation = item.decoy, item.rotation
    return {
        "id": item.id.hex(),
        "name": item.name,
        "variable": item.variable,
        "scopes": item.scopes,
        "tags": dict(item.tags),
        "note": item.note,
        "created": item.created,
        "expires": item.expires,
        "recipe": recipe,
        "owner": item.owner,
        "display_name": item.display_name,
        "value_kind": item.value_kind,
        "public": item.public == 1,
        "disabled": item.disabled and list(item.disabled),
        "decoy": decoy and [decoy.alarm, decoy.on_trip],
        "rotate_every": item.rotate_every,
        "warn": item.warn,
        "unit": item.unit and item.unit.hex(),
        "rotation": rotation
        and {
            "mode": rotation.mode,
            "step": rotation.step,
            "attempt": rotation.attempt.hex(),
            "version": rotation.version,
            "deadline": rotation.deadline,
            "outcome": rotation.outcome,
        },
        "last_change": item.last_change,
        "next_version": item.next_version,
        "status": _status(item, now),
        "versions": [_version(version, values.get(version.number), now) for version in item.versions],
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
        "keys": [_key(item, values, now) for item, values in read],
    }


def bearers(grants, take, now):
    """`grants` by item id; `take` gives the values of an item."""
    keys = []
    for item, grant in sorted(grants.items(), key=lambda entry: entry[1].name.encode()):
        values = take(item)
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
