#!/usr/bin/python3
"""A second implementation of docs/FORMAT.md, as a reader; the section of each rule stands in brackets beside it.

`reader.py TESTKIT` makes the vault of each vector, opens it with the vector's credential, takes the vector's steps, and
prints a line for each: its name and the outcome. It looks at no `expect` and no `reason` to come to it.
"""

import json
import os
import sqlite3
import sys
import tempfile

import contents
from bearer import BearerVault
from bundle import open_bundle
from check import check
from failure import Damaged, Failure
from slots import KEY_FILE, KEYRING, KEYRING as _, PASSPHRASE, RECOVERY_CODE
from slots import KeyFile, KeyringEntry, Passphrase, RecoveryCode
from tokens import Token
from vault import Vault
from vectors import Vector

KINDS = {PASSPHRASE: "passphrase", RECOVERY_CODE: "recovery code", KEYRING: "keyring", KEY_FILE: "key file"}


class Stopped(Exception):
    """A step that failed."""

    def __init__(self, step, failure):
        super().__init__(step, failure)
        self.step = step
        self.failure = failure


def take(step, action):
    """What a step gives, or at which it stopped."""
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
    if vector["pin"] is None:
        return None
    number, state, *epoch = vector["pin"].split()
    return int(number), bytes.fromhex(state), int(epoch[0]) if epoch else None


def owner(vector, path):
    """The steps of a vault's owner: all of them, or `open`, `state`, and the one that the vector names."""
    now = int(vector["now"])
    vault = take("open", lambda: Vault(path, credential(vector), pin(vector)))
    try:
        take("state", vault.state)
        if vector["step"] in (None, "open", "state"):
            return everything(vault, now)
        verb, _, name = vector["step"].partition(" ")
        found = check_of(vault)
        if verb not in ("check", "ways"):
            action = getattr(vault, verb)
            try:
                take(vector["step"], lambda: action(name) if name else action())
            except Stopped as stopped:
                stopped.row = row_of(vector, found)
                raise
            return "passed"
        if verb == "ways":
            found = [(f"slot {number}", failure.reason) for number, failure in vault.ways()[1].items()]
        return f"{verb}: " + ", ".join(f"{reason} {row}" for row, reason in found if row == vector["row"])
    finally:
        vault.close()


def check_of(vault):
    return take("check", lambda: check(vault))


def row_of(vector, found):
    return next((row for row, _ in found if row == vector["row"]), None)


def everything(vault, now):
    """All steps, and what the vault holds."""
    listed = take("list", vault.list)
    read = [take(f"read {item.name}", lambda: vault.read(item.name)) for item in listed]
    names, scope_rows = take("names", vault.names)
    scopes = {}
    for scope in scope_rows:
        members = take(f"scope {scope.name}", lambda: vault.scope(scope.name))
        scopes[scope.name] = sorted(item.name for item, _ in members)
    known, passed_over = take("ways", vault.ways)
    for number, failure in passed_over.items():
        raise Stopped("ways", failure)
    events = take("log", vault.log)
    take("tokens", vault.tokens)
    found = check_of(vault)
    if found:
        raise Stopped("check", Damaged(f"{found[0]}"))
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
        taken = lambda item: take(f"take {vault.grants[item].name}", lambda: vault.take(item))
        return contents.bearers(vault.grants, taken, now)
    finally:
        vault.close()


def outcome(vector, testkit):
    """A vector's outcome as a line."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vault.db")
        if vector["base"] is not None:
            vector.make(path)
        try:
            given = (bearer if vector["token"] is not None else owner)(vector, path)
        except Stopped as stopped:
            row = getattr(stopped, "row", None)
            line = f"{stopped.failure.kind} at {stopped.step}: {stopped.failure.reason}"
            return f"{line}, {row}" if row else line
    if isinstance(given, str):
        return given
    with open(os.path.join(testkit, "contents", f"{vector['content']}.json"), encoding="utf-8") as file:
        if json.load(file) != given:
            return f"success with other contents: {json.dumps(given, sort_keys=True)}"
    return f"success: {vector['content']}"


def main(testkit):
    for name in sorted(os.listdir(os.path.join(testkit, "vectors"))):
        print(f"{name}: {outcome(Vector(testkit, name), testkit)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
