"""The socket that the node listens on."""

from __future__ import annotations

import socket

from edge.errors import StartupError


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. StartupError when the address cannot be had."""
    try:
        return _bound(host, port)
    except OSError as error:
        raise StartupError(
            f"cannot listen on {host} port {port}: {error.strerror};"
            " is another node running? Choose another with --port, or --port 0 for a free one"
        ) from error


def _bound(host: str, port: int) -> socket.socket:
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Clients that come while the model loads wait in the kernel's line.
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket) -> str:
    """Where clients find it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
