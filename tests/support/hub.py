"""A local stand-in of the Hugging Face hub and of any web server; it can be told to misbehave."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.random_gguf import write_random_gguf

REVISION = "ab" * 20
OWNER, REPOSITORY = "owner", "model-GGUF"


class Hub:
    """Files by name. ``troubles`` are used up, one for each request for a file's bytes:

    - ``cut N``: the connection is cut after N bytes of what was asked for;
    - ``say N``: the status N, and nothing else;
    - ``stop N``: fewer bytes, and the server says that this is all;
    - ``hang N``: N bytes come, and then nothing for as long as the client is there;
    - ``deaf``: all of it from the start, whatever was asked for.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.troubles: deque[str] = deque()
        self.requests: list[tuple[str, str, str]] = []
        self.tokens: list[tuple[str, str]] = []
        self.answer: bytes | None = None
        self.status = 200
        self.headers: dict[str, str] = {}
        self.tag = '"one"'
        self.sizes: dict[str, int] = {}
        self.sums: dict[str, str] = {}
        self.elsewhere = ""
        self.url = ""

    @property
    def cdn_url(self) -> str:
        """The same server by another name, as the hub has its files elsewhere."""
        return self.url.replace("127.0.0.1", "localhost")

    @property
    def ranges(self) -> list[str]:
        """Of which parts bytes were asked for; an empty text for all."""
        return [part for method, path, part in self.requests if method == "GET" and "/cdn" in path]

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._note])
        app.router.add_get("/api/models/{owner}/{repository}", self._repository)
        app.router.add_get("/{owner}/{repository}/resolve/{revision}/{path:.+}", self._resolve)
        app.router.add_get("/cdn/{path:.+}", self._bytes)
        app.router.add_get("/leads/{path:.+}", self._leads)
        return app

    @web.middleware
    async def _note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append((request.method, request.path, request.headers.get("Range", "")))
        place = request.path.split("/")[1]
        self.tokens.append((place, request.headers.get("Authorization", "")))
        answer: web.StreamResponse = await handler(request)
        return answer

    def _size(self, path: str) -> int:
        return self.sizes.get(path, len(self.files[path]))

    def sum_of(self, path: str) -> str:
        """What it says that the SHA-256 of a file is."""
        return self.sums.get(path, hashlib.sha256(self.files[path]).hexdigest())

    async def _repository(self, request: web.Request) -> web.Response:
        if self.status != 200:
            return web.json_response({"error": "no"}, status=self.status, headers=self.headers)
        if self.answer is not None:
            return web.Response(body=self.answer)
        assert request.query.get("blobs"), "or sizes and sums are not told"
        siblings = [
            {
                "rfilename": path,
                "size": self._size(path),
                "blobId": "00",
                "lfs": {"sha256": self.sum_of(path), "size": self._size(path), "pointerSize": 1},
            }
            for path in self.files
        ]
        name = f"{request.match_info['owner']}/{request.match_info['repository']}"
        told = {"id": name, "modelId": name, "sha": REVISION, "siblings": siblings}
        return web.json_response(told | {"cardData": {"license": "apache-2.0"}, "tags": []})

    async def _resolve(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        assert request.match_info["revision"] == REVISION
        return web.Response(status=302, headers={"Location": f"{self.cdn_url}/cdn/{path}"})

    async def _leads(self, request: web.Request) -> web.Response:
        location = f"{self.elsewhere or self.cdn_url}/cdn/{request.match_info['path']}"
        return web.Response(status=302, headers={"Location": location})

    async def _bytes(self, request: web.Request) -> web.StreamResponse:
        trouble = self.troubles.popleft() if self.troubles else ""
        what, _, number = trouble.partition(" ")
        if what == "say":
            return web.Response(status=int(number), headers=self.headers)
        data = self.files[request.match_info["path"]]
        start = 0
        asked = request.headers.get("Range", "")
        unchanged = request.headers.get("If-Range", self.tag) == self.tag
        if asked and unchanged and what != "deaf":
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
        response = web.StreamResponse(status=206 if start else 200, headers={"ETag": self.tag})
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        part = data[start:]
        if what == "stop":
            part = part[: int(number)]
        response.content_length = len(part)
        await response.prepare(request)
        if what == "hang":
            await response.write(part[: int(number)])
            await asyncio.Event().wait()
        if what == "cut":
            await response.write(part[: int(number)])
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(part)
        return response


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """Serves on a thread of its own, since who pulls blocks."""
    started = threading.Event()
    ended: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        runner = web.AppRunner(hub.application(), handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        hub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        end = asyncio.Event()
        ended.append((asyncio.get_running_loop(), end))
        started.set()
        await end.wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    started.wait()
    try:
        yield hub
    finally:
        loop, end = ended[0]
        loop.call_soon_threadsafe(end.set)
        thread.join()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub that is set, with one model, for a user who has nothing else."""
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "XDG_CACHE_HOME", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with running(Hub()) as hub:
        monkeypatch.setenv("ELWIFT_MODEL__HUB_URL", hub.url)
        hub.files["it-Q4_0.gguf"] = write_random_gguf(tmp_path / "it.gguf").read_bytes()
        yield hub
