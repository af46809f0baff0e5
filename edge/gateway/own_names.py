"""The names and addresses by which this machine knows itself."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Final

import psutil  # type: ignore[import-untyped]  # it ships no types

from edge.settings.authority import canonical_host, is_address, is_loopback

LOOKUP_S = 1.0
"""How long the start waits for the name server to say the machine's full name."""


def machine_addresses() -> Iterable[str]:
    """All addresses of all interfaces."""
    families = (socket.AF_INET, socket.AF_INET6)
    for entries in psutil.net_if_addrs().values():
        yield from (entry.address for entry in entries if entry.family in families)


class OwnNames:
    """What may be called as this node without anybody's leave."""

    def __init__(
        self,
        names: Iterable[str],
        bound: Iterable[str],
        addresses: Callable[[], Iterable[str]] = machine_addresses,
    ) -> None:
        """``names`` are the machine's, ``bound`` the addresses that are listened on; what is no
        host's name is left out. ``addresses`` are looked up when they are asked for: networks come
        and go."""
        listened = set(map(canonical_host, bound))
        self._known = (set(map(canonical_host, names)) | listened) - {None}
        self._everywhere = bool(listened & {"0.0.0.0", "::"})
        self._addresses = addresses

    def include(self, host: str, local_address: str) -> bool:
        """Whether the host, in its one form, is loopback, the machine's own name, or an address
        that is listened on. ``local_address`` is where the connection came in."""
        if is_loopback(host) or host in self._known or host == canonical_host(local_address):
            return True
        # Who came to another of our addresses may have been passed on by a proxy on this machine.
        return (
            self._everywhere and is_address(host) and host in map(canonical_host, self._addresses())
        )


LOOPBACK: Final = OwnNames((), ())
"""Loopback's names, and the address that a client came to."""


async def own_names(configured: str, bound: Iterable[str]) -> OwnNames:
    """What the machine is called, when it listens on these addresses; ``configured`` is the host
    of the settings."""
    bound = tuple(bound)
    name = socket.gethostname()
    label = name.partition(".")[0]
    names = {name, label, f"{label}.local", configured}
    if not all(map(is_loopback, bound)):
        # Names that come from a name server lead from elsewhere to here. They are not asked for
        # where nobody else can come: a network that we are guests of may call us anything.
        names.add(await asyncio.to_thread(_full_name))
    return OwnNames(names, bound)


def _full_name() -> str:
    """The machine's name with its domain; empty when nobody says it in time."""
    found: list[str] = []

    def find() -> None:
        # A name that cannot be asked for (an empty label, a long one) has no domain.
        with contextlib.suppress(OSError, UnicodeError):
            found.append(socket.getfqdn())

    # The look-up cannot be cancelled, so it is left to itself.
    finder = threading.Thread(target=find, daemon=True)
    finder.start()
    finder.join(LOOKUP_S)
    return found[0] if found else ""
