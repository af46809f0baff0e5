"""A node in a process of its own and a blocking client of it, for tests that are no coroutines."""

from __future__ import annotations

import base64
import http.client
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from tests.support.storyteller import STORYTELLER

GUARD_S = 30
"""A test that waits this long has failed."""

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Response(NamedTuple):
    """``body`` is None where the answer is a stream without an end, which was left."""

    status: int
    headers: dict[str, str]
    body: bytes | None

    @property
    def kind(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0]


class Node:
    """A node that serves."""

    def __init__(self, url: str, log: Path) -> None:
        parts = urlsplit(url)
        self.address = (str(parts.hostname), int(parts.port or 0))
        self._log = log
        self._read = 0

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=GUARD_S)

    def new_log(self) -> str:
        """What the node has logged since it was last asked."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        return new.decode(errors="replace")

    def ask(self, request: bytes) -> Response | None:
        """The answer to the bytes of one request; None when the node ends the connection."""
        with self.connect() as connection:
            connection.sendall(request)
            method = request.partition(b" ")[0].decode("latin-1")
            answer = http.client.HTTPResponse(connection, method=method)
            try:
                answer.begin()
            except (http.client.RemoteDisconnected, ConnectionError):
                return None
            headers = {name.lower(): value for name, value in answer.getheaders()}
            streams = headers.get("content-type") == "text/event-stream"
            return Response(answer.status, headers, None if streams else answer.read())

    def json(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request as it should be."""
        data = b"" if body is None else orjson.dumps(body)
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
        answer = self.ask(head.encode() + b"Content-Type: application/json\r\n\r\n" + data)
        assert answer is not None
        return answer.status, orjson.loads(answer.body or b"null")


@contextmanager
def blocking_node(folder: Path, *engine_flags: str, **settings: object) -> Iterator[Node]:
    """A node on the scripted engine, for the time of the block; settings as ``section__name``. It
    has to end in order."""
    common = {"data__dir": folder / "data", "server__port": 0, "model__name": STORYTELLER}
    given = common | settings
    environment = {f"ELWIFT_{name.upper()}": str(value) for name, value in given.items()}
    log = folder / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.scripted_node", *engine_flags],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | environment,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline().decode()
        assert line.startswith("ready "), f"the node did not start: {log.read_text()}"
        yield Node(line.split()[1], log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(GUARD_S) == 0
    finally:
        process.kill()
        process.communicate()


class WebSocket:
    """A WebSocket client that sends whatever frames it is told to."""

    def __init__(self, node: Node, query: str = "?vsn=2.0.0") -> None:
        self._socket = node.connect()
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET /socket/websocket{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._file = self._socket.makefile("rb")
        assert b" 101 " in self._file.readline()
        while self._file.readline() != b"\r\n":
            pass

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, opcode: int, data: bytes) -> bool:
        """Sends one whole frame; False when the node has ended the connection."""
        size = len(data)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 65_536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        try:
            # Masked with zeros, which leaves the data as it is (RFC 6455 section 5.3).
            self._socket.sendall(head + bytes(4) + data)
        except ConnectionError:
            return False
        return True

    def receive(self) -> tuple[int, bytes]:
        """The next frame; `CLOSE` without data when the connection is over."""
        try:
            head = self._file.read(2)
            if len(head) < 2:
                return CLOSE, b""
            size = head[1] & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", self._file.read(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", self._file.read(8))
            return head[0] & 0x0F, self._file.read(size)
        except ConnectionError:
            return CLOSE, b""
