"""How many files the process may have open, and how many of them are for clients.

A connection is an open file too. Were all of them taken, the node could not start its engine again,
nor write down what it has accepted.
"""

from __future__ import annotations

import logging
import resource
from typing import Final

from edge.gateway.http.acceptor import REFUSED_MAX
from edge.services.keeping.archive import EXPORTS_MAX
from edge.settings import Server

logger = logging.getLogger("elwift.gateway")

OWN_DESCRIPTORS: Final = (
    24  # at rest: standard streams, event loop, listeners, pipe to the engine, database
    + 2 * 8  # two engines that are being started: socket pair, pipes of the child
    + 8  # the database's log, its spilled sorts, the child that tries a file first
    + 2 * EXPORTS_MAX  # a file that is written, and read again while it is sent
    + REFUSED_MAX
    + 8  # what nobody thought of
)
"""Kept for the node itself."""

PLENTY: Final = 1_024
"""So many connections are no reason to say that the limit is low."""

_HIGH_ENOUGH: Final = (1 << 20, 1 << 16, 10_240)
"""Tried in turn where there is no hard limit; macOS takes no more than its kernel's own."""


def raise_limit() -> int:
    """Raises the limit on open files as far as this process may, and says what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard,) if hard != resource.RLIM_INFINITY else _HIGH_ENOUGH:
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            break
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            continue  # more than the kernel has; the next is lower
        soft = wanted
        break
    return soft if soft != resource.RLIM_INFINITY else _HIGH_ENOUGH[0]


def places_for_clients(limit: int, wanted: int) -> int:
    """How many connections there may be: as many as are wanted, or as the limit on open files
    leaves. Where it leaves next to nothing, a quarter of it."""
    places = max(limit - OWN_DESCRIPTORS, limit // 4)
    if places >= wanted:
        return wanted
    # Nobody has asked for as many as there are by default.
    if wanted == Server().connections_max and places >= PLENTY:
        return places
    logger.warning(
        "this process may have only %d files open, so the node takes %d connections at once and not"
        " %d: raise the limit (ulimit -Hn; LimitNOFILE= under systemd) or set"
        " server.connections_max=%d",
        *(limit, places, wanted, places),
    )
    return places
