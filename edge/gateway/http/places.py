"""Who may be connected: so many in all, so many from one address, and whose place is given away.

A connection that waits for a request (for the first, for the next, or for the rest of one's
headers) does nothing that could be lost. When there is no room for a newcomer, the one that has
waited longest and may go makes room. Whoever has asked for something is never put out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from ipaddress import IPv6Address, ip_address
from itertools import islice
from typing import Final, Generic, NamedTuple, TypeVar

from edge.settings import is_loopback

LOOKS_MAX: Final = 16
"""Of so many it is asked whether they may go, before a newcomer is refused."""

_NETWORK_BITS: Final = 64
"""In IPv6 a subscriber has a whole network of addresses, so they count as one."""

Holder = TypeVar("Holder", bound=Hashable)


def address_of(host: str) -> str:
    """What the connections of a peer are counted under: its IPv4 address, or the network of its
    IPv6 address."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if not address.is_loopback:
            rest_bits = address.max_prefixlen - _NETWORK_BITS
            return str(IPv6Address(int(address) >> rest_bits << rest_bits))
    return str(address)


class Admission(NamedTuple, Generic[Holder]):
    """Whether a newcomer may come in, and who has to go for that."""

    admitted: bool
    evicted: Holder | None = None


class Places(Generic[Holder]):
    """The places of one node: ``limit`` in all, ``per_address`` of one address; 0 means seven
    eighths of all, so that nobody takes the last one. One eighth is kept for this machine itself:
    whoever looks after the node gets in, however many others there are."""

    def __init__(self, limit: int, per_address: int = 0) -> None:
        self.limit = limit
        self.remote = limit - limit // 8
        self.per_address = per_address or self.remote
        self._of: dict[str, int] = {}
        self._local = 0
        self._all = 0
        # Who waits, each in the order in which they began to.
        self._waiting: dict[Holder, None] = {}
        self._waiting_remote: dict[Holder, None] = {}
        self._waiting_of: dict[str, dict[Holder, None]] = {}

    @property
    def taken(self) -> int:
        """How many are connected."""
        return self._all

    def admit(self, address: str, may_go: Callable[[Holder], bool]) -> Admission[Holder]:
        """Takes a place for somebody at this address (see `address_of`). ``may_go`` says of one
        that waits whether it can be spared; who is evicted still has to `leave`."""
        if self._of.get(address, 0) >= self.per_address:
            candidates = self._waiting_of.get(address, {})
        elif not is_loopback(address) and self._all - self._local >= self.remote:
            candidates = self._waiting_remote
        elif self._all >= self.limit:
            candidates = self._waiting
        else:
            self._count(address, 1)
            return Admission(True)
        for holder in islice(candidates, LOOKS_MAX):
            if may_go(holder):
                self._count(address, 1)
                return Admission(True, holder)
        return Admission(False)

    def leave(self, holder: Holder, address: str) -> None:
        """Gives a place back."""
        self.busy(holder, address)
        self._count(address, -1)

    def waits(self, holder: Holder, address: str) -> None:
        """This one waits for a request from now on."""
        self._waiting[holder] = None
        self._waiting_of.setdefault(address, {})[holder] = None
        if not is_loopback(address):
            self._waiting_remote[holder] = None

    def busy(self, holder: Holder, address: str) -> None:
        """It does not wait any more, if it did."""
        if holder not in self._waiting:
            return
        del self._waiting[holder]
        self._waiting_remote.pop(holder, None)
        same = self._waiting_of[address]
        del same[holder]
        if not same:
            del self._waiting_of[address]

    def _count(self, address: str, by: int) -> None:
        self._all += by
        self._local += by if is_loopback(address) else 0
        left = self._of.get(address, 0) + by
        if left:
            self._of[address] = left
        else:
            del self._of[address]
