"""The sockets that the node listens on."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, Final

from edge.errors import StartupError

BACKLOG: Final = 1_024
"""Clients that come while the model loads wait in the kernel's line."""

PORT_TRIES: Final = 20
"""A free port of one family may be taken in the other; so often another one is tried."""

# This machine lacks that family altogether, as where IPv6 is switched off.
_NO_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})

_Address = tuple[int, tuple[Any, ...]]
"""The family, and what `bind` takes."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Bound sockets, one for each address that the name stands for: ``localhost`` has two on most
    machines, and clients may try either first. All have the same port; 0 picks a free one.
    StartupError when the address cannot be had."""
    try:
        addresses = _addresses(host, port)
        for _ in range(PORT_TRIES if port == 0 else 1):
            listeners = _bound_all(addresses, port)
            if listeners:
                return listeners
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StartupError(
            f"cannot listen on {host} port {port}: {reason};"
            " is another node running? Choose another with --port, or --port 0 for a free one"
        ) from error
    raise StartupError(f"no port is free on all addresses of {host}; choose one with --port")


def _addresses(host: str, port: int) -> list[_Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # The older family first: its address is the one that is shown, and that everybody can use.
    found.sort(key=lambda each: each[0] != socket.AF_INET)
    return list(dict.fromkeys((int(each[0]), tuple(each[4])) for each in found))


def _bound_all(addresses: list[_Address], port: int) -> list[socket.socket]:
    """One listener each; none when the free port of the first is taken in another family."""
    listeners: list[socket.socket] = []
    lacking: OSError | None = None
    try:
        for family, address in addresses:
            chosen = listeners[0].getsockname()[1] if listeners else port
            try:
                listeners.append(_bound(family, (address[0], chosen, *address[2:])))
            except OSError as error:
                if error.errno in _NO_FAMILY:
                    lacking = error
                elif error.errno == errno.EADDRINUSE and listeners and port == 0:
                    close_all(listeners)
                    return []
                else:
                    raise
    except BaseException:
        close_all(listeners)
        raise
    if not listeners:
        raise lacking or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    return listeners


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def close_all(listeners: list[socket.socket]) -> None:
    """Takes all of them back."""
    for listener in listeners:
        listener.close()


def url_of(listener: socket.socket) -> str:
    """Where clients find it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
