"""Times as clients write them."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from edge.clock import NS_PER_S

FIRST_NS: Final = -(2**63)
LAST_NS: Final = 2**63 - 1
"""What the database holds: the years 1677 to 2262."""

_RFC3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]"
    r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]|60)(?:\.([0-9]+))?)?"
    # A plus sign that was not escaped in a query has become a space.
    r"(?:[Zz]|([+\- ])([01][0-9]|2[0-3]):?([0-5][0-9]))"
)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
# The calendar repeats itself after so many; Python's has no year 0.
_YEARS: Final = 400
_DAYS_OF_YEARS: Final = 146_097
_DAY_S: Final = 86_400


def parse_time(text: str) -> int:
    """A time in RFC 3339 as Unix time in nanoseconds; seconds and the colon of the zone may be
    left out. ValueError when it is none, or has no zone.

    A time that the database cannot hold is the first or the last that it can: what apps call the
    distant past lies before every task, and stays there. A leap second is the second after it
    (POSIX). What is finer than nanoseconds is cut off.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError("this is no time of RFC 3339 with its zone")
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    moved = year < 1
    days = date(year + _YEARS * moved, month, day).toordinal() - _DAYS_OF_YEARS * moved
    seconds = (days - _EPOCH_DAY) * _DAY_S
    seconds += int(found[4]) * 3_600 + int(found[5]) * 60 + int(found[6] or 0)
    if found[8] is not None:
        ahead_s = int(found[9]) * 3_600 + int(found[10]) * 60
        seconds += ahead_s if found[8] == "-" else -ahead_s
    fraction_ns = int((found[7] or "")[:9].ljust(9, "0"))
    return max(FIRST_NS, min(LAST_NS, seconds * NS_PER_S + fraction_ns))
