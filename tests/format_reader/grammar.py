"""Names, variables, and prefixes (§6)."""

import re

from failure import Malformed

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_SCOPE_PART = r"[A-Za-z0-9_][A-Za-z0-9_.:-]*"
_NAME = re.compile(rf"{_PART}(/{_PART})*")
_SCOPE = re.compile(rf"{_SCOPE_PART}(/{_SCOPE_PART})*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_VISIBLE = re.compile(r"[!-~]{0,32}")
_ALPHABET = re.compile(r"([!-~]{2,94})?")


def _matching(pattern, text):
    if not 1 <= len(text.encode()) <= 128 or not pattern.fullmatch(text):
        raise Malformed
    return text


def name(text):
    """The name of a key or token, or a tag's key."""
    return _matching(_NAME, text)


def scope(text):
    return _matching(_SCOPE, text)


def variable(text):
    return _matching(_VARIABLE, text)


def prefix(text):
    """A recipe's prefix: at most 32 visible ASCII characters."""
    if not _VISIBLE.fullmatch(text):
        raise Malformed
    return text


def alphabet(text):
    """A recipe's alphabet: none, or at least two visible ASCII characters in ascending order."""
    if not _ALPHABET.fullmatch(text) or any(left >= right for left, right in zip(text, text[1:])):
        raise Malformed
    return text
