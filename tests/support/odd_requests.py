"""What some client has sent to some server: a name, the bytes, and the status that is due.

None of them is the server's fault. `tests/unit/gateway/http/test_connection.py` sends them to a
server alone, `tests/integration/test_odd_clients.py` to a whole node.
"""

from __future__ import annotations

import gzip
import zlib
from typing import NamedTuple

from tests.support.raw import length, post, request

TASK = b'{"prompt":"hi"}'
GZIP = gzip.compress(TASK, mtime=0)
BOMB = gzip.compress(bytes(64 << 20), mtime=0)
CHUNKED = b"Transfer-Encoding: chunked"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
H2C = (b"Connection: Upgrade", b"Upgrade: h2c")
SOCKET = "GET /socket/websocket?vsn=2.0.0 HTTP/1.1"
LOOK = "GET /healthz HTTP/1.1"


class Odd(NamedTuple):
    """``status`` is that of the first answer. Not ``whole`` means that it is for the rest of this
    that the server waits, unless the client ends its side."""

    name: str
    data: bytes
    status: int
    whole: bool = True


def _encoded(name: str, data: bytes, encoding: bytes, status: int) -> Odd:
    return Odd(name, post(data, length(data), b"Content-Encoding: " + encoding), status)


def _look(name: str, status: int, *headers: bytes, body: bytes = b"") -> Odd:
    return Odd(name, request(LOOK, *headers, body=body), status)


def _socket(name: str, *headers: bytes) -> Odd:
    return Odd(name, request(SOCKET, *headers), 400)


ENCODINGS = (
    _encoded("gzip", GZIP, b"gzip", 202),
    _encoded("gzip by its old name", GZIP, b"x-gzip", 202),
    _encoded("gzip in capitals", GZIP, b"GZIP", 202),
    _encoded("zlib", zlib.compress(TASK), b"deflate", 202),
    _encoded("deflate without zlib", zlib.compress(TASK)[2:-4], b"deflate", 202),
    _encoded("no encoding by name", TASK, b"identity", 202),
    _encoded("gzip that is none", TASK, b"gzip", 400),
    _encoded("gzip that is cut", GZIP[:-5], b"gzip", 400),
    _encoded("gzip of which the checksum is wrong", GZIP[:-8] + bytes(8), b"gzip", 400),
    _encoded("gzip with something behind it", GZIP + b"x", b"gzip", 400),
    _encoded("deflate that is none", b"\xff" * 20, b"deflate", 400),
    _encoded("brotli", TASK, b"br", 415),
    _encoded("zstd", TASK, b"zstd", 415),
    _encoded("an unknown encoding", TASK, b"rot13", 415),
    _encoded("two encodings", GZIP, b"gzip, gzip", 415),
    _encoded("a bomb", BOMB, b"gzip", 413),
)

BODIES = (
    Odd("a submission", post(TASK, length(TASK)), 202),
    Odd("in chunks", post(b"f\r\n" + TASK + b"\r\n0\r\n\r\n", CHUNKED), 202),
    Odd("a body that is cut", post(TASK[:-3], length(TASK)), 400, whole=False),
    Odd("chunks that are cut", post(b"f\r\n" + TASK[:5], CHUNKED), 400, whole=False),
    Odd("no last chunk", post(b"f\r\n" + TASK + b"\r\n", CHUNKED), 400, whole=False),
    Odd("a chunk's size that is none", post(b"zz\r\n" + TASK, CHUNKED), 400),
    Odd("a chunk that is longer", post(b"5\r\n" + TASK, CHUNKED), 400),
    Odd("a chunk's size without end", post(b"f" * 30 + b"\r\n" + TASK, CHUNKED), 400),
    Odd("a length and chunks", post(b"0\r\n\r\n", CHUNKED, length(TASK)), 400),
    Odd("a transfer encoding without chunks", post(TASK, b"Transfer-Encoding: gzip"), 400),
    Odd("chunks of gzip", post(b"f\r\n" + TASK, b"Transfer-Encoding: gzip, chunked"), 400),
    Odd("chunks twice", post(b"f\r\n" + TASK, CHUNKED, CHUNKED), 400),
    Odd("a chunk with an extension", post(b"f;a=b\r\n" + TASK + b"\r\n0\r\n\r\n", CHUNKED), 202),
    Odd("trailers", post(b"f\r\n" + TASK + b"\r\n0\r\nX: y\r\n\r\n", CHUNKED), 202),
    Odd("a trailer that is none", post(b"f\r\n" + TASK + b"\r\n0\r\nX\0: y\r\n\r\n", CHUNKED), 400),
    Odd("a length below zero", post(TASK, b"Content-Length: -5"), 400),
    Odd("a length with a sign", post(TASK, b"Content-Length: +15"), 400),
    Odd("a length in words", post(TASK, b"Content-Length: ten"), 400),
    Odd("a length of 5,000 digits", post(TASK, b"Content-Length: " + b"9" * 5_000), 400),
    Odd("a length twice", post(TASK, length(TASK), length(TASK)), 400),
    Odd("two lengths", post(TASK, length(TASK), b"Content-Length: 3"), 400),
    Odd("a body that is longer than its length", post(TASK + b"and more", length(TASK)), 400),
    Odd("a length that is too large", post(b"", b"Content-Length: 99999999"), 413),
    Odd("a body that is too large", post(bytes(3_000_000), b"Content-Length: 3000000"), 413),
    _look("a look with a body", 200, b"Content-Type: application/json", length(b"{}"), body=b"{}"),
)

HEADERS = (
    _look("cookies of 9 KiB", 200, b"Cookie: " + b"a" * 9_216),
    _look("cookies of 60 KiB", 200, b"Cookie: " + b"a" * 61_440),
    _look("cookies of 70 KiB", 431, b"Cookie: " + b"a" * 71_680),
    _look("ten headers of 8 KiB", 431, *[b"X-%d: " % n + b"a" * 8_000 for n in range(10)]),
    _look("200 headers", 431, *[b"X-%d: a" % n for n in range(200)]),
    Odd("headers without end", request(LOOK, b"X: " + b"a" * 300_000)[:-4], 431),
    _look("NUL in a value", 400, b"X: a\0b"),
    _look("NUL in a name", 400, b"X\0Y: a"),
    _look("a control character", 400, b"X: a\x01b"),
    _look("a folded header", 400, b"X: a", b" b"),
    _look("a space before the colon", 400, b"X : a"),
    _look("no colon", 400, b"X"),
    _look("no name", 400, b": a"),
    Odd("no Host", request(LOOK, host=None), 400),
    _look("two Hosts", 400, b"Host: localhost"),
    _look("a token that is no text", 200, b"Authorization: Bearer \xff"),
    Odd("an expectation that is none", post(TASK, length(TASK), b"Expect: 200-ok"), 417),
    _look("an odd range", 200, b"Range: bytes=9-1"),
    _look("an odd date", 200, b"If-Modified-Since: yesterday"),
    Odd("half a head", b"GET /healthz HTTP/1.1\r\nHos", 400, whole=False),
)

LINES = (
    Odd("HTTP/1.0", request("GET /healthz HTTP/1.0", host=None), 200),
    Odd("HTTP/0.9", b"GET /healthz\r\n\r\n", 400),
    Odd("half of HTTP/0.9", b"GET /healthz\r\n", 400, whole=False),
    Odd("HTTP/1.2", request("GET /healthz HTTP/1.2"), 400),
    Odd("HTTP/2.0 in a line", request("GET /healthz HTTP/2.0"), 400),
    Odd("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 400),
    Odd("TLS", bytes.fromhex("16030100c8010000c40303") + bytes(range(200)), 400),
    Odd("a method in small letters", request("get /healthz HTTP/1.1"), 400),
    Odd("a method of one's own", request("FETCH /healthz HTTP/1.1"), 400),
    Odd("a method that is none here", request("PATCH /healthz HTTP/1.1"), 405),
    Odd("TRACE", request("TRACE /healthz HTTP/1.1"), 405),
    Odd("CONNECT", request("CONNECT example.com:443 HTTP/1.1"), 400),
    Odd("CONNECT to nothing", request("CONNECT / HTTP/1.1"), 400),
    Odd("a whole address", request("GET http://localhost/healthz HTTP/1.1"), 200),
    Odd("an address without a host", request("GET http:// HTTP/1.1"), 400),
    Odd("an address with an odd port", request("GET http://localhost:99999999/ HTTP/1.1"), 400),
    Odd("a path without a slash", request("GET healthz HTTP/1.1"), 400),
    Odd("a path of 8,000 bytes", request(f"GET /{'a' * 7_999} HTTP/1.1"), 404),
    Odd("a path of 9,000 bytes", request(f"GET /{'a' * 9_000} HTTP/1.1"), 414),
    Odd("a path of 100,000 bytes", request(f"GET /{'a' * 100_000} HTTP/1.1"), 414),
    Odd("a query of 9,000 bytes", request(f"GET /healthz?{'a' * 9_000} HTTP/1.1"), 414),
    Odd("a path that is no ASCII", request("GET /tasks/\xff\xfe HTTP/1.1"), 400),
    Odd("brackets", request("GET //[ HTTP/1.1"), 404),
    Odd("bare line feeds", b"GET /healthz HTTP/1.1\nHost: localhost\n\n", 400),
    Odd("one bare line feed", b"GET /healthz HTTP/1.1\r\nHost: localhost\n\r\n", 400),
    Odd("empty lines first", b"\r\n\r\n" + request(LOOK), 200),
    Odd("two spaces", request("GET  /healthz HTTP/1.1"), 200),
    Odd("a server of another kind", b"SSH-2.0-OpenSSH_9.0\r\n", 400),
    Odd("nonsense", b"nonsense\r\n\r\n", 400),
    Odd("all bytes", bytes(range(256)), 400),
)

UPGRADES = (
    _look("an upgrade to HTTP/2", 200, *H2C),
    Odd("a submission as HTTP/2", post(TASK, length(TASK), *H2C), 202),
    _look("a socket where there is none", 200, *UPGRADE, KEY),
    _socket("no socket where there is one"),
    _socket("a socket without a key", *UPGRADE),
    _socket("a socket whose key is no text", *UPGRADE, b"Sec-WebSocket-Key: \xff"),
    _socket("a socket whose key is too short", *UPGRADE, b"Sec-WebSocket-Key: YWJj"),
    _socket("a socket of the first draft", *UPGRADE[:2], b"Sec-WebSocket-Key1: 1"),
    _socket("a socket of another version", *UPGRADE[:2], KEY, b"Sec-WebSocket-Version: 12"),
    _socket("a socket of no version", *UPGRADE[:2], KEY, b"Sec-WebSocket-Version: \xff"),
    _socket("a socket without Connection", *UPGRADE[1:], KEY),
    Odd("a socket over HTTP/1.0", request(SOCKET[:-1] + "0", *UPGRADE, KEY), 400),
    Odd("a posted socket", request(SOCKET.replace("GET", "POST"), *UPGRADE, KEY), 400),
)

ALL = (*ENCODINGS, *BODIES, *HEADERS, *LINES, *UPGRADES)
