"""The secrets by which clients are known: how they are written, and which are good for nothing.

No sentence here shows a secret, nor what might be one: errors name the client, or count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from edge.errors import SettingsError

KEY: Final = "server.tokens"
SECRET_CHARS_MIN: Final = 16
"""A secret of so many random characters is not guessed over a network, whatever its alphabet."""
SECRET_CHARS_MAX: Final = 4_096
"""With all that a header or a query has around it, it stays under the 8,190 bytes of a line."""

_NAME: Final = re.compile(r"\w[\w.-]{0,63}")
_SECRET: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_HOW: Final = "; `openssl rand -hex 16` makes one"


def read_tokens(text: str, where: str) -> dict[str, str]:
    """The text of an environment variable, ``name=secret,name=secret``; only the first ``=`` of
    each counts. SettingsError for what is no such pair."""
    if not text.strip():
        raise _wrong("there is nothing; is it a variable that is not set?", where)
    pairs: dict[str, str] = {}
    for number, entry in enumerate(text.split(","), 1):
        name, mark, secret = entry.partition("=")
        name = name.strip()
        if not mark:
            raise _wrong(
                f"client {number} has to be written as name=secret, with commas between clients;"
                " a secret that has a comma itself has to stand in a settings file",
                where,
            )
        if name in pairs:
            raise _wrong(f"client {number} has the name of another one", where)
        pairs[name] = secret.strip()
    return pairs


def check_tokens(tokens: Mapping[str, str], where: str) -> None:
    """SettingsError unless every client has a name and a secret of its own that can be sent and
    is not guessed."""
    names: dict[str, str] = {}
    for number, (name, secret) in enumerate(tokens.items(), 1):
        if _NAME.fullmatch(name) is None:
            raise _wrong(
                f"client {number} needs another name: up to 64 letters, digits, '_', '-' and '.'",
                where,
            )
        _check_secret(name, secret, where)
        other = names.setdefault(secret, name)
        if other != name:
            raise _wrong(f"{other!r} and {name!r} have the same secret", where)


def _check_secret(name: str, secret: str, where: str) -> None:
    if not secret:
        raise _wrong(f"the secret of {name!r} is empty; is it a variable that is not set?", where)
    if len(secret) < SECRET_CHARS_MIN:
        raise _wrong(
            f"the secret of {name!r} has {len(secret)} characters and needs {SECRET_CHARS_MIN}"
            + _HOW,
            where,
        )
    if len(secret) > SECRET_CHARS_MAX:
        raise _wrong(
            f"the secret of {name!r} has more than {SECRET_CHARS_MAX} characters" + _HOW, where
        )
    if _SECRET.fullmatch(secret) is None:
        # RFC 9110 section 5.5: other bytes may not arrive as they were sent.
        raise _wrong(
            f"the secret of {name!r} cannot be sent in a header: it has to consist of printable"
            " ASCII characters, with no space at its ends" + _HOW,
            where,
        )


def _wrong(sentence: str, where: str) -> SettingsError:
    return SettingsError(f"{KEY}: {sentence} ({where})", key=KEY)
