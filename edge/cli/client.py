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

import aiohttp
import orjson

from edge.errors import ElwiftError
from edge.settings import Settings

EXPORT_S: Final = 3_600
RECONNECT_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0, 5.0)


class NodeError(ElwiftError):
    """The node cannot be reached, or refused; the message is its own sentence."""

    code = "node_error"


class Update(NamedTuple):
    """One event of the channel. ``joined`` carries the join's reply."""

    event: str
    payload: dict[str, Any]


class NodeClient:
    """One node at ``url``. To be used as an asynchronous context manager."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = aiohttp.ClientSession(headers=headers, json_serialize=_dumps)

    async def __aenter__(self) -> NodeClient:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._http.close()

    async def reachable(self) -> bool:
        """Whether a node answers."""
        try:
            async with self._http.get(f"{self.url}/healthz", timeout=_timeout(2)) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

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
                method, self.url + path, json=body, params=_given(query), timeout=_timeout(30)
            ) as response:
                document = orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable() from error
        except ValueError as error:
            raise NodeError(f"{self.url} is not an Elwift node") from error
        if response.status >= 400:
            raise NodeError(document.get("detail", f"the node answered {response.status}"))
        return document

    def _unreachable(self) -> NodeError:
        return NodeError(f"no node answers at {self.url}; start one with `elwift serve`")

    async def download(
        self, path: str, query: Mapping[str, str | None], write: Callable[[bytes], object]
    ) -> None:
        """One HTTP call whose answer is handed to `write` as it comes. NodeError unless it came
        whole."""
        try:
            async with self._http.get(
                self.url + path, params=_given(query), timeout=_timeout(EXPORT_S)
            ) as response:
                if response.status >= 400:
                    document = orjson.loads(await response.read())
                    raise NodeError(document.get("detail", f"the node answered {response.status}"))
                async for chunk in response.content.iter_any():
                    write(chunk)
        except aiohttp.ClientConnectorError as error:
            raise self._unreachable() from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NodeError(f"the answer of {self.url} did not come whole; try again") from error

    async def watch(self, topic: str) -> AsyncIterator[Update]:
        """The channel's events until its end, over lost connections."""
        offset = 0
        tries = 0
        while True:
            try:
                async for update in self._follow(topic, offset):
                    tries = 0
                    if update.event == "rewind":
                        offset = update.payload["offset"]
                    elif "delta" in update.payload:
                        offset = update.payload["offset"] + len(update.payload["delta"])
                    yield update
                return
            except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                if tries == len(RECONNECT_S):
                    raise NodeError(f"the node at {self.url} has gone away") from error
                await asyncio.sleep(RECONNECT_S[tries])
                tries += 1

    async def _follow(self, topic: str, offset: int) -> AsyncIterator[Update]:
        """One connection's worth; ends normally with the channel, else raises."""
        url = f"{self.url.replace('http', 'ws', 1)}/socket/websocket?vsn=2.0.0"
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


def node_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which node is meant."""
    parser.add_argument("--url", help="the node (default: $ELWIFT_URL, else the local one)")
    parser.add_argument("--token", help="the token, if the node wants one (default: $ELWIFT_TOKEN)")


def node_client(given: argparse.Namespace, settings: Settings) -> NodeClient:
    """A client of the node that was meant."""
    url = given.url or os.environ.get("ELWIFT_URL") or f"http://127.0.0.1:{settings.server.port}"
    return NodeClient(url, given.token or os.environ.get("ELWIFT_TOKEN"))


def _given(query: Mapping[str, str | None] | None) -> dict[str, str]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)


def _dumps(value: object) -> str:
    return orjson.dumps(value).decode()
