"""Names of hosts and origins of web pages, as URLs, headers and settings have them.

An authority is ``host[:port]`` (RFC 3986 section 3.2, without the user's name), an origin
``scheme://host[:port]`` (RFC 6454 section 6.2). Both are brought to one form: lower case, no dot
behind a name, addresses as `ipaddress` writes them, an IPv4 address within IPv6 as IPv4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

_AUTHORITY: Final = re.compile(
    r"(?:\[([0-9A-Fa-f.]{0,4}:[0-9A-Fa-f:.]{1,44})\]|([A-Za-z0-9._-]{1,255}))(?::([0-9]{0,5}))?"
)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_PORT_MAX: Final = 65_535

DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
"""The schemes that lead to this node, and the port that each leaves out."""


class Authority(NamedTuple):
    """A host in its one form, and the port if one was given."""

    host: str
    port: int | None

    def port_for(self, scheme: str) -> int | None:
        """The port that is meant when the scheme says the rest; None when nobody says."""
        return DEFAULT_PORTS.get(scheme) if self.port is None else self.port


class Origin(NamedTuple):
    """Where a web page is from."""

    scheme: str
    authority: Authority

    @property
    def port(self) -> int | None:
        return self.authority.port_for(self.scheme)


# A node is called by a handful of names, and each request says one.
@lru_cache(maxsize=256)
def parse_authority(text: str) -> Authority | None:
    """Reads ``host[:port]``; None when it is none. An empty port is one that was left out."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    bracketed, name, port = found.groups()
    if port and int(port) > _PORT_MAX:
        return None
    if bracketed is not None:
        address = _address(bracketed)
        host = None if address is None else str(address)
    else:
        host = canonical_host(name)
    return None if host is None else Authority(host, int(port) if port else None)


def canonical_host(name: str) -> str | None:
    """The one form of a host's name or address, which here has no brackets; None for no host."""
    address = _address(name)
    if address is not None:
        return str(address)
    lowered = name.lower().removesuffix(".")
    well_formed = _AUTHORITY.fullmatch(lowered) is not None and ":" not in lowered
    # An empty label, as in "a..b", is no name.
    return lowered if well_formed and all(lowered.split(".")) else None


# Most hosts are no addresses, which takes the longest to find out.
@lru_cache(maxsize=256)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        # The zone of a link-local address says which interface, and nothing about whose it is.
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=256)
def parse_origin(text: str) -> Origin | None:
    """Reads an ``Origin``; None for ``null``, which is no page's name, and for all else that has no
    host. Nothing may stand behind the port, no slash either."""
    scheme, mark, rest = text.partition("://")
    authority = parse_authority(rest) if mark else None
    scheme = scheme.lower()
    if authority is None or _SCHEME.fullmatch(scheme) is None:
        return None
    return Origin(scheme, authority)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on this host: ``localhost`` or an address that
    is loopback's. Any other name may be made to lead anywhere."""
    address = _address(host)
    if address is not None:
        return address.is_loopback
    return canonical_host(host) == "localhost"


def is_address(host: str) -> bool:
    """Whether it is an IP address and no name."""
    return _address(host) is not None


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A host's name; ``*.`` in front admits the domain and all below it."""

    host: str
    below: bool = False

    @classmethod
    def parse(cls, text: str) -> HostPattern | None:
        """None when it is no such pattern."""
        below = text.startswith("*.")
        host = canonical_host(text.removeprefix("*.").removeprefix("[").removesuffix("]"))
        if host is None or (below and is_address(host)):
            return None
        return cls(host, below)

    def admits(self, host: str) -> bool:
        return host == self.host or (self.below and host.endswith(f".{self.host}"))


@dataclass(frozen=True, slots=True)
class OriginPattern:
    """``[scheme:]//host[:port]`` or a bare ``host[:port]``, the host as in `HostPattern`; ``*`` is
    every page that has an origin. What a pattern leaves out is not compared."""

    scheme: str | None = None
    host: HostPattern | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> OriginPattern | None:
        """None when it is no such pattern. A slash at the end, which browsers show, is allowed."""
        if text == "*":
            return cls()
        head, mark, rest = text.removesuffix("/").rpartition("//")
        scheme = head.removesuffix(":").lower()
        malformed = head != "" and not (head.endswith(":") and _SCHEME.fullmatch(scheme))
        star = "*." if rest.startswith("*.") else ""
        authority = parse_authority(rest.removeprefix("*."))
        if malformed or authority is None or (not mark and authority.host == "null"):
            return None
        host = HostPattern.parse(star + authority.host)
        return None if host is None else cls(scheme or None, host, authority.port)

    def admits(self, origin: Origin) -> bool:
        return (
            (self.host is None or self.host.admits(origin.authority.host))
            and self.scheme in (None, origin.scheme)
            and self.port in (None, origin.port)
        )
