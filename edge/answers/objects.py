"""Where a JSON object ends whose text comes in pieces. Pure."""

from __future__ import annotations

import re
from typing import Final

_OUTSIDE: Final = re.compile(r'["{}\[\]]')
_INSIDE: Final = re.compile(r'["\\]')


class ObjectEnd:
    """Follows the text of an object from its bracket on. Of what is no JSON it finds an end, too:
    where as many brackets are closed as were opened."""

    __slots__ = ("_depth", "_escaped", "_in_string")

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def find(self, piece: str) -> int:
        """How many characters of the next piece belong to it, if it ends there; -1 while it goes
        on."""
        at = 0
        if self._escaped and piece:
            self._escaped, at = False, 1
        while found := (_INSIDE if self._in_string else _OUTSIDE).search(piece, at):
            at = found.end()
            if found[0] == '"':
                self._in_string = not self._in_string
            elif found[0] == "\\":
                self._escaped = at == len(piece)
                at += 1
            elif found[0] in "{[":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth <= 0:
                    return at
        return -1
