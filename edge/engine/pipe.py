"""The engine's end of the socket to the node."""

from __future__ import annotations

import socket
import threading

from edge.engine.messages import FromEngine, encode


class Pipe:
    """All threads may send, one receives."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(True)
        self._lock = threading.Lock()

    def send(self, message: FromEngine) -> None:
        """Blocks until the node has taken it; OSError when the node is gone, `FrameTooLarge`
        before anything is sent."""
        frame = encode(message)
        with self._lock:
            self._socket.sendall(frame)

    def close(self) -> None:
        """The node hears that it is the end."""
        self._socket.close()

    def receive(self) -> bytes:
        """What has come; empty once the node has closed the pipe."""
        return self._socket.recv(1 << 16)
