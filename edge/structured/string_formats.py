"""JSON Schema's ``format`` for strings, as patterns whose every text is of that format.

Where the format allows more than anybody writes (years before 1000, quoted mail addresses, host
names of five parts and more), the pattern has the usual part of it.
"""

from __future__ import annotations

from typing import Final

_DAY_28: Final = "(0[1-9]|1[0-9]|2[0-8])"
_YEAR: Final = "[1-9][0-9]{3}"
_LEAP_YEAR: Final = "([1-9][0-9](0[48]|[2468][048]|[13579][26])|(1[26]|[2468][048]|[3579][26])00)"
_DATE: Final = (
    f"({_YEAR}-((0[1-9]|1[0-2])-{_DAY_28}|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
    f"|{_LEAP_YEAR}-02-29)"
)
_TIME: Final = (
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
    "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)
_DURATION_TIME: Final = (
    "T([0-9]{1,4}H([0-9]{1,4}M([0-9]{1,4}S)?)?|[0-9]{1,4}M([0-9]{1,4}S)?|[0-9]{1,4}S)"
)
_DURATION: Final = (
    "P([0-9]{1,4}W"
    "|([0-9]{1,4}Y([0-9]{1,4}M([0-9]{1,4}D)?)?|[0-9]{1,4}M([0-9]{1,4}D)?|[0-9]{1,4}D)"
    f"({_DURATION_TIME})?|{_DURATION_TIME})"
)
_LABEL: Final = "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?"
_HOST: Final = rf"{_LABEL}(\.{_LABEL}){{0,3}}"
_DOMAIN: Final = rf"({_LABEL}\.){{1,3}}[a-z]{{2,12}}"
_ATOM: Final = "[A-Za-z0-9_+-]{1,30}"
_EMAIL: Final = rf"{_ATOM}(\.{_ATOM})?@{_DOMAIN}"
_BYTE: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_GROUP: Final = "[0-9a-f]{1,4}"
_URL_CHAR: Final = "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})"
_URI: Final = (
    rf"https?://{_HOST}(:[1-9][0-9]{{0,3}})?(/{_URL_CHAR}{{0,80}}){{0,12}}"
    rf"(\?{_URL_CHAR}{{0,200}})?(#{_URL_CHAR}{{0,80}})?"
)

PATTERNS: Final[dict[str, str]] = {
    name: f"^{pattern}$"
    for name, pattern in {
        "date": _DATE,
        "time": _TIME,
        "date-time": f"{_DATE}T{_TIME}",
        "duration": _DURATION,
        "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "email": _EMAIL,
        "idn-email": _EMAIL,
        "hostname": _HOST,
        "idn-hostname": _HOST,
        "ipv4": rf"({_BYTE}\.){{3}}{_BYTE}",
        "ipv6": f"({_GROUP}:){{7}}{_GROUP}",
        "uri": _URI,
        "uri-reference": _URI,
        "iri": _URI,
        "iri-reference": _URI,
    }.items()
}

SAYS_NOTHING: Final = frozenset({"float", "double", "decimal", "password"})
"""OpenAPI's, which no value is refused for."""

INTEGERS: Final[dict[str, tuple[int, int]]] = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}
"""OpenAPI's for whole numbers."""
