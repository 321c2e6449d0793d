#!/usr/bin/python3
"""A second implementation of docs/FORMAT.md, as a reader. Comments cite its sections (§).

`reader.py TESTKIT` makes the vault of each vector, opens it with the vector's credential, takes the vector's steps, and
prints a line with what came of it: `NAME: success CONTENT`, or `NAME: KIND at STEP: REASON`, and behind a comma the row
of the vector if a check of the whole vault names it.
"""

import sys

sys.dont_write_bytecode = True

import json
import os
import sqlite3
import tempfile

import contents
from bearer import BearerVault
from bundle import open_bundle
from check import check
from failure import Damaged, Failure
from slots import KEY_FILE, KEYRING, PASSPHRASE, RECOVERY_CODE, KeyFile, KeyringEntry, Passphrase, RecoveryCode
from tokens import Token
from vault import Vault
from vectors import Vector

KINDS = {PASSPHRASE: "passphrase", RECOVERY_CODE: "recovery code", KEYRING: "keyring", KEY_FILE: "key file"}


class Stopped(Exception):
    """A step that failed, and the row that a check names."""

    def __init__(self, step, failure, row=None):
        super().__init__(step, failure, row)
        self.step, self.failure, self.row = step, failure, row


def take(step, action):
    """What a step gives, or at which it stopped. Where SQLite stumbles, its pages do not hold together."""
    try:
        return action()
    except Failure as failure:
        raise Stopped(step, failure) from None
    except sqlite3.DatabaseError:
        raise Stopped(step, Damaged("pages")) from None


def credential(vector):
    """What the vector opens its vault with, as a function of the vault's id."""
    if vector["keyring"] is not None:
        return lambda vault_id: KeyringEntry(vector["keyring"].encode(), vault_id)
    if vector["recovery-code"] is not None:
        return lambda _: RecoveryCode(vector["recovery-code"].encode())
    if vector["key-file"] is not None:
        return lambda _: KeyFile(vector["key-file"].encode())
    if vector["passphrase-hex"] is not None:
        return lambda _: Passphrase(bytes.fromhex(vector["passphrase-hex"].removeprefix("x")))
    return lambda _: Passphrase(vector["passphrase"].encode())


def pin(vector):
    """Number, hash, and epoch or None, of what was seen last (§11)."""
    if vector["pin"] is None:
        return None
    number, state, *epoch = vector["pin"].split()
    return int(number), bytes.fromhex(state), int(epoch[0]) if epoch else None


def owner(vector, path):
    """The steps of a vault's owner: all of them, or `open`, `state`, and the one that the vector names."""
    vault = take("open", lambda: Vault(path, credential(vector), pin(vector)))
    try:
        take("state", vault.state)
        if vector["step"] in (None, "open", "state"):
            return everything(vault, int(vector["now"]))
        found = take("check", lambda: check(vault))
        verb, _, name = vector["step"].partition(" ")
        if verb == "check":
            raise finding(vector, found)
        if verb == "slots":
            raise finding(vector, [(f"slot {number}", failure) for number, failure in vault.slots()[1].items()])
        step = getattr(vault, verb)
        try:
            take(vector["step"], lambda: step(name) if name else step())
        except Stopped as stopped:
            named = any(row == vector["row"] for row, _ in found)
            raise Stopped(stopped.step, stopped.failure, vector["row"] if named else None) from None
        raise Stopped(vector["step"], Damaged("nothing"))
    finally:
        vault.close()


def finding(vector, found):
    """The finding that the vector names, or else all of them: a step may find more than one row at fault."""
    for row, failure in found:
        if (row, failure.reason) == (vector["row"], vector["reason"]):
            return Stopped(vector["step"], failure, row)
    return Stopped(vector["step"], Damaged("; ".join(f"{failure.reason}, {row}" for row, failure in found)))


def everything(vault, now):
    """All steps, and what the vault holds."""
    listed = take("list", vault.list)
    read = [take(f"read {key.name}", lambda: vault.read(key.name)) for key in listed]
    _, scope_rows = take("names", vault.names)
    scopes = {}
    for scope in scope_rows:
        members = take(f"scope {scope.name}", lambda: vault.scope(scope.name))
        scopes[scope.name] = sorted(key.name for key, _ in members)
    known, passed_over = take("slots", vault.slots)
    for number, failure in passed_over.items():
        raise Stopped("slots", failure, f"slot {number}")
    events = take("log", vault.log)
    take("tokens", vault.tokens)
    for row, failure in take("check", lambda: check(vault)):
        raise Stopped("check", failure, row)
    slots = {number: KINDS[kind] for number, kind in known.items()}
    return contents.owners(vault, read, scopes, slots, len(events), now)


def bearer(vector, path):
    """The steps of a token's bearer."""
    now = int(vector["now"])
    token = take("open", lambda: Token(vector["token"].encode()))
    if vector["base"] is None:
        content = take("open", lambda: open_bundle(vector.bundle(), token, now))
        return contents.bearers(content.grants, content.take, now)
    vault = take("open", lambda: BearerVault(path, token, pin(vector)))
    try:
        take("granted", lambda: vault.granted(now))
        values = lambda key: take(f"take {vault.grants[key].name}", lambda: vault.take(key))
        return contents.bearers(vault.grants, values, now)
    finally:
        vault.close()


def outcome(vector, testkit):
    """What came of a vector's vault."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vault.db")
        if vector["base"] is not None:
            vector.make(path)
        try:
            given = (bearer if vector["token"] is not None else owner)(vector, path)
        except Stopped as stopped:
            row = f", {stopped.row}" if stopped.row else ""
            return f"{stopped.failure.kind} at {stopped.step}: {stopped.failure.reason}{row}"
    if vector["content"] is not None:
        with open(os.path.join(testkit, "contents", f"{vector['content']}.json"), encoding="utf-8") as file:
            if json.load(file) == given:
                return f"success {vector['content']}"
    return f"success with {json.dumps(given, sort_keys=True)}"


def main(testkit):
    for name in sorted(os.listdir(os.path.join(testkit, "vectors"))):
        print(f"{name}: {outcome(Vector(testkit, name), testkit)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
