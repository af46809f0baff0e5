"""A client of a node: submits a task and follows its channel, as any other client would.

It speaks the public interface only, and comes back after a lost connection with the offset of the
text that it has.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

import aiohttp
import orjson

from edge.errors import ElwiftError
from edge.settings import Server, Settings

EXPORT_S: Final = 3_600
RECONNECT_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0, 5.0)
HOW_TO_NAME_TOKEN: Final = "give the node's token with --token or in ELWIFT_TOKEN"
# Answers after which the same request may succeed: who is busy or restarts says so (RFC 9110).
_COME_BACK: Final = (408, 425, 429)


class NodeError(ElwiftError):
    """The node cannot be reached, or refused; the message is its own sentence."""

    code = "node_error"


class Refused(NodeError):
    """The node answered and refused; ``field`` names the member of the request at fault."""

    def __init__(self, message: str, field: str | None) -> None:
        super().__init__(message)
        self.field = field


class Update(NamedTuple):
    """One event of the channel. ``joined`` carries the join's reply."""

    event: str
    payload: dict[str, Any]


class NodeClient:
    """One node at ``url``. To be used as an asynchronous context manager."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._base = url.rstrip("/")
        # Said in sentences; the address may have a password in it.
        self.url = _shown(self._base)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = aiohttp.ClientSession(headers=headers, json_serialize=_dumps)

    async def __aenter__(self) -> NodeClient:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._http.close()

    async def look(self) -> dict[str, Any] | None:
        """What the node says of itself to this client; None when none answers."""
        try:
            async with self._http.get(f"{self._base}/healthz", timeout=_timeout(2)) as response:
                said = orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
        return said if response.status == 200 and isinstance(said, dict) else None

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str | None] | None = None,
    ) -> Any:
        """One HTTP call; parts of the query that are None are left out. NodeError with the node's
        sentence unless it succeeded."""
        try:
            async with self._http.request(
                method, self._base + path, json=body, params=_given(query), timeout=_timeout(30)
            ) as response:
                data, headers = await response.read(), response.headers
        except TimeoutError as error:
            raise NodeError(f"the node at {self.url} did not answer in time; try again") from error
        except aiohttp.ClientError as error:
            raise self._unreachable() from error
        return self._document(response.status, data, headers.get("Retry-After"))

    def _document(self, status: int, data: bytes, retry_after: str | None = None) -> Any:
        """The answer's JSON. NodeError with the node's sentence unless it succeeded."""
        try:
            document = orjson.loads(data)
        except ValueError as error:
            raise self._no_node() from error
        if status >= 400:
            if not isinstance(document, dict):
                raise self._no_node()
            sentence = _sentence(status, document.get("detail"))
            if retry_after is not None and retry_after.isascii() and retry_after.isdigit():
                sentence += f" (in {retry_after} s, as far as the node can tell)"
            raise Refused(sentence, document.get("field"))
        return document

    def _no_node(self) -> NodeError:
        return NodeError(f"what answers at {self.url} is not an Elwift node; check the address")

    def _unreachable(self) -> NodeError:
        return NodeError(f"no node answers at {self.url}; start one with `elwift serve`")

    async def download(
        self, path: str, query: Mapping[str, str | None], write: Callable[[bytes], object]
    ) -> None:
        """One HTTP call whose answer is handed to `write` as it comes. NodeError unless it came
        whole."""
        try:
            async with self._http.get(
                self._base + path, params=_given(query), timeout=_timeout(EXPORT_S)
            ) as response:
                if response.status >= 400:
                    self._document(response.status, await response.read())
                async for chunk in response.content.iter_any():
                    write(chunk)
        except aiohttp.ClientConnectorError as error:
            raise self._unreachable() from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NodeError(f"the answer of {self.url} did not come whole; try again") from error

    async def watch(self, topic: str) -> AsyncIterator[Update]:
        """The channel's events until its end, over lost connections. NodeError at once when the
        node does not let this client in, or was never there."""
        offset = 0
        tries = 0
        reached = False
        while True:
            try:
                async for update in self._follow(topic, offset):
                    tries = 0
                    reached = True
                    if update.event == "rewind":
                        offset = update.payload["offset"]
                    elif "delta" in update.payload:
                        offset = update.payload["offset"] + len(update.payload["delta"])
                    yield update
                return
            except aiohttp.WSServerHandshakeError as error:
                if error.status < 500 and error.status not in _COME_BACK:
                    raise await self._refusal(error.status) from error
                if tries == len(RECONNECT_S):
                    raise NodeError(f"the node at {self.url} takes no watchers now") from error
            except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                if not reached and isinstance(error, aiohttp.ClientConnectorError):
                    raise self._unreachable() from error
                if tries == len(RECONNECT_S):
                    raise NodeError(f"the node at {self.url} has gone away") from error
            await asyncio.sleep(RECONNECT_S[tries])
            tries += 1

    async def _refusal(self, status: int) -> NodeError:
        """Why the socket was refused. A handshake's answer cannot be read here, so the same is
        asked for over HTTP, where the node says what is wrong."""
        try:
            await self.call("GET", "/tasks", query={"limit": "1"})
        except NodeError as error:
            return error
        return NodeError(f"the node at {self.url} refuses to be watched ({status})")

    async def _follow(self, topic: str, offset: int) -> AsyncIterator[Update]:
        """One connection's worth; ends normally with the channel, else raises."""
        url = f"{self._base.replace('http', 'ws', 1)}/socket/websocket?vsn=2.0.0"
        async with self._http.ws_connect(url, heartbeat=20, max_msg_size=0) as socket:
            await socket.send_str(
                orjson.dumps(["1", "1", topic, "phx_join", {"offset": offset}]).decode()
            )
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                _, ref, _, event, payload = orjson.loads(message.data)
                if event == "phx_reply" and ref == "1":
                    if payload["status"] != "ok":
                        raise NodeError(
                            f"cannot watch {topic}: {payload['response'].get('reason')}"
                        )
                    yield Update("joined", payload["response"])
                elif event == "phx_close":
                    return
                elif event == "phx_error":
                    break
                elif not event.startswith("phx_"):
                    yield Update(event, payload)
        raise ConnectionResetError("the connection ended before the task")


def node_client(given: argparse.Namespace, settings: Settings) -> NodeClient:
    """A client of the node that was meant. NodeError when its address is none."""
    return NodeClient(named_url(given) or local_url(settings.server), token_of(given))


def named_url(given: argparse.Namespace) -> str | None:
    """The address of the node that was named, checked; None when none was. NodeError when it is no
    address."""
    if given.url:
        return _checked(given.url, "--url")
    in_environment = os.environ.get("ELWIFT_URL")
    return _checked(in_environment, "ELWIFT_URL") if in_environment else None


def token_of(given: argparse.Namespace) -> str | None:
    """The token to send, if there is one. NodeError when it cannot be sent."""
    token: str | None = given.token or os.environ.get("ELWIFT_TOKEN")
    if token is not None and not (token.isascii() and token.isprintable()):
        # It is not shown: it may be a secret with a line break behind it.
        raise NodeError(
            "the token has characters that none has, such as a line break; check --token or"
            " ELWIFT_TOKEN"
        )
    return token


def local_url(server: Server) -> str:
    """Where a node with these settings is found from its own machine."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)
    bracketed = f"[{host}]" if ":" in host else host
    return f"http://{bracketed}:{server.port or 4000}"


def task_path(task_id: str) -> str:
    """The path of a task, whatever was typed for its id."""
    return f"/tasks/{quote(task_id, safe='')}"


def _checked(url: str, where: str) -> str:
    if "://" not in url:
        named = url.rpartition("@")[2].partition("?")[0]
        raise NodeError(f"the address in {where} lacks its scheme; write http://{named}")
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or half a bracket
        good = False
    if not good:
        raise NodeError(
            f"what is in {where} is no address of a node; it looks like http://127.0.0.1:4000"
        )
    return url


def _shown(url: str) -> str:
    """The address without what may be a secret: who is named in it, and its query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _sentence(status: int, detail: object) -> str:
    """Why the node refused, and for who has no valid token, what to do."""
    said = str(detail) if detail else f"the node answered {status}"
    return f"{said}; {HOW_TO_NAME_TOKEN}" if status == 401 else said


def _given(query: Mapping[str, str | None] | None) -> dict[str, str]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)


def _dumps(value: object) -> str:
    return orjson.dumps(value).decode()
