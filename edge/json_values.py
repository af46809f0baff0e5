"""What JSON from outside may be, wherever it comes in: how deep, and which numbers.

Whatever is accepted has to be written again as it was, in documents that put it deeper. The JSON
library reads 1,024 levels and writes 254, and makes a float of a whole number beyond 64 bits.
"""

from __future__ import annotations

import json
import re
from typing import Final

LEVELS_MAX: Final = 32
"""Objects and lists in one another, in a member of a body or in a payload: far more than data has
that people make, and far fewer than can be written."""

_EXACT_MAX: Final = 2**53
"""Up to here a float says which whole number is meant (RFC 8259 section 6)."""

# A shorter number is of 64 bits in any case.
_LONG_NUMBER: Final = re.compile(rb"[0-9]{19}")


def too_deep(value: object, levels: int = LEVELS_MAX) -> bool:
    """Whether the JSON value has more levels of objects and lists than that; a number has none."""
    # Level by level, because recursion is what deep values exhaust.
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        if not level:
            return False
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


def whole_number(value: object) -> int | None:
    """The whole number that a JSON value is, or None. JSON knows one kind of numbers: ``5.0`` is
    5, as in JSON Schema (2020-12, "integer"); true is none."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_MAX:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def has_inexact_number(data: bytes) -> bool:
    """Whether there is a whole number in this JSON, which has been read without an error, that 64
    bits cannot hold: it would come back as another one."""
    if _LONG_NUMBER.search(data) is None:
        return False
    found = False

    def look(digits: str) -> None:
        nonlocal found
        # The length first: Python refuses to read thousands of digits.
        found = found or len(digits) > 20 or not -(2**63) <= int(digits) < 2**64

    json.loads(data, parse_int=look)
    return found
