"""The decision on a WebSocket handshake, before the upgrade: version, token, sub-protocol.

Which page it comes from was asked before, at the gate of all requests (`edge.gateway.gate`).

Whoever may not come in hears it as an HTTP status. To accept and then to close would reset the
clients' back-off and make each of them reconnect about a hundred times a second.
Reference: Phoenix 1.8 ``Phoenix.Socket.Transport``; sub-protocol token as in its ``auth_token``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from edge.gateway.access import bearer
from edge.phoenix import Serializer, negotiate

SUBPROTOCOL: Final = "phoenix"
TOKEN_PREFIX: Final = "base64url.bearer.phx."
VERSIONS: Final = ("13", "8", "7")
"""The last drafts differ from the standard in names only."""
KEY_BYTES: Final = 16


class Refusal(NamedTuple):
    """The handshake is answered with this status and text instead of an upgrade."""

    status: int
    text: str = ""
    headers: Mapping[str, str] = {}


class Handshake(NamedTuple):
    """What a client that may try to connect has said of itself."""

    serializer: Serializer
    params: Mapping[str, str]  # the query without vsn and token; of a repeated name the last
    token: str | None
    subprotocol: str | None  # to be answered


def examine(raw_query: str, headers: Mapping[str, str]) -> Handshake | Refusal:
    """Reads a handshake. ``headers`` has to find names in any case. A token is taken from the
    sub-protocols, else from ``Authorization``, else from the query."""
    offer = _read_subprotocols(headers.get("Sec-WebSocket-Protocol"))
    if offer is None:
        return Refusal(403)
    subprotocol, token = offer
    try:
        params = read_query(raw_query)
    except UnicodeDecodeError:
        return Refusal(400, "the query has to be UTF-8\n")
    vsn = params.pop("vsn", None)
    serializer = negotiate(vsn)
    if serializer is None or any(name.startswith("vsn[") for name in params):
        return Refusal(403)
    query_token = params.pop("token", None)
    if token is None:
        token = bearer(headers.get("Authorization")) or query_token
    return Handshake(serializer, params, token, subprotocol)


def read_query(raw_query: str) -> dict[str, str]:
    """A query string by form rules: ``+`` is a space, a broken escape stands for itself, empty
    pieces are skipped, of a repeated name the last counts. UnicodeDecodeError when it is no UTF-8.
    """
    params = {}
    for piece in raw_query.split("&"):
        name, _, value = piece.partition("=")
        if name:
            params[_unquote(name)] = _unquote(value)
    return params


def flaw(headers: Mapping[str, str]) -> str | None:
    """What is wrong with the headers of an upgrade besides what `examine` looks at, in a sentence
    (RFC 6455 section 4.2.1)."""
    if headers.get("Upgrade", "").strip().lower() != "websocket":
        return "here is a WebSocket: ask for it with Upgrade: websocket"
    if headers.get("Sec-WebSocket-Version") not in VERSIONS:
        return f"the Sec-WebSocket-Version has to be {VERSIONS[0]}"
    try:
        key = base64.b64decode(headers.get("Sec-WebSocket-Key", ""), validate=True)
    except ValueError:
        key = b""
    return None if len(key) == KEY_BYTES else f"the Sec-WebSocket-Key has to be {KEY_BYTES} bytes"


def _read_subprotocols(header: str | None) -> tuple[str | None, str | None] | None:
    """The sub-protocol to answer and the token in the offer; None refuses the handshake."""
    if header is None:
        return None, None
    offered = [name for name in (piece.strip() for piece in header.split(",")) if name]
    tokens = [name for name in offered if name.startswith(TOKEN_PREFIX)]
    others = [name for name in offered if not name.startswith(TOKEN_PREFIX)]
    if others and SUBPROTOCOL not in others:
        return None
    token = None
    if len(tokens) == 1:  # of two, Phoenix takes neither
        token = _decode_token(tokens[0].removeprefix(TOKEN_PREFIX))
        if token is None:
            return None
    return SUBPROTOCOL if others else None, token


def _decode_token(encoded: str) -> str | None:
    """The token, or None. Despite its name the client encodes with the standard alphabet, without
    padding; both alphabets are read, padded or not."""
    standard = encoded.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _unquote(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode()
