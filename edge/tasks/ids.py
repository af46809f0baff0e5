"""Task ids: UUIDs, which have many spellings, and here one canonical form."""

from __future__ import annotations

import re
from typing import Final

CHARS_MAX: Final = len("urn:uuid:") + 36

# Not `uuid.UUID`, which takes more than is meant: underscores, digits of other scripts, dashes and
# braces anywhere.
_HEX: Final = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}(?:\1[0-9a-f]{4}){2}\1[0-9a-f]{12}")
_URN: Final = "urn:uuid:"


def canonical(text: str) -> str | None:
    """The UUID that the text spells, as RFC 9562 section 4 writes it; None when it spells none.

    It may be in capitals (as Swift writes it), without its dashes, in braces (as Windows does), or
    a URN (RFC 9562 section 4, ``urn:uuid:``). Every door of the node asks this before it looks
    for a task; behind them an id has one spelling.
    """
    if len(text) > CHARS_MAX or not text.isascii():
        return None
    text = text.lower()
    if text.startswith(_URN):
        text = text.removeprefix(_URN)
    elif text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    found = _HEX.fullmatch(text)
    if found is None:
        return None
    if found[1]:
        return text
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def is_canonical(text: str) -> bool:
    """Whether this is an id in its canonical form."""
    return canonical(text) == text
