"""The handlers of Ollama's interface; `OllamaApi.mount` puts them in their places."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from edge.errors import Forbidden, InvalidRequest, ModelError
from edge.gateway.calls import errors
from edge.gateway.calls.connection import KEEP_ALIVE_MS, Connection
from edge.gateway.calls.entrance import Entrance, Read, model_of
from edge.gateway.calls.following import Wake
from edge.gateway.calls.names import Known, find
from edge.gateway.calls.reading import read_object
from edge.gateway.facts import NodeFacts
from edge.gateway.http.body import read_body
from edge.gateway.json import json_response
from edge.gateway.ollama import embeddings, forms, models, reading
from edge.gateway.ollama.errors import ROOT, told
from edge.gateway.ollama.pulls import SUCCESS, Pull, Pulls
from edge.gateway.openai.embeddings import EmbeddingsApi
from edge.inference.description import UNKNOWN, Description, describe
from edge.inference.embedding.protocol import Vectors

VERSION: Final = "0.12.11"
"""Of the Ollama whose interface this is: the first that has all that is answered here, of which
logprobs came last. Apps compare it to the first that they can work with (0.6.4, say), as three
numbers; one with anything behind it, such as ``-elwift``, would count as older."""
RUNS: Final = "Ollama is running"
"""What apps look for at ``/``, in these words."""

_MADE_ELSEWHERE: Final = "is not possible here: models are added and removed with `elwift models`"
_NOT_OFFERED: Final = (
    ("POST", "create"), ("POST", "copy"), ("DELETE", "delete"), ("POST", "push"),
    ("HEAD", "blobs/{digest}"), ("POST", "blobs/{digest}"),
)  # fmt: skip


class OllamaApi:
    """What is below ``/api``, and the word at ``/`` by which apps know that somebody is there
    (`runs`, which `edge.gateway.pages_api` has for who wants no page)."""

    def __init__(
        self,
        entrance: Entrance,
        facts: NodeFacts,
        memory_bytes: Callable[[], int],
        pulls: Pulls,
        vectors: EmbeddingsApi,
    ) -> None:
        """``memory_bytes`` is what the model takes that is loaded."""
        self._entrance = entrance
        self._calls = entrance.calls
        self._models = entrance.models
        self._facts = facts
        self._memory_bytes = memory_bytes
        self._pulls = pulls
        self._vectors = vectors

    def mount(self, app: web.Application) -> None:
        router = app.router
        router.add_get(f"{ROOT}/version", self.version)
        router.add_post(f"{ROOT}/chat", self.chat)
        router.add_post(f"{ROOT}/generate", self.generate)
        router.add_post(f"{ROOT}/embed", self.embed)
        router.add_post(f"{ROOT}/embeddings", self.embed_one)
        router.add_get(f"{ROOT}/tags", self.tags)
        router.add_get(f"{ROOT}/ps", self.running)
        router.add_post(f"{ROOT}/show", self.show)
        router.add_post(f"{ROOT}/pull", self.pull)
        for method, place in _NOT_OFFERED:
            router.add_route(method, f"{ROOT}/{place}", self.not_offered)

    # ---- whether somebody is there

    async def runs(self, _request: web.Request) -> web.Response:
        """For everybody: it says no more than that the port is open."""
        return web.Response(text=RUNS)

    async def version(self, _request: web.Request) -> web.Response:
        return json_response({"version": VERSION})

    # ---- models

    async def tags(self, request: web.Request) -> web.Response:
        """What can be asked; it needs no engine to be there."""
        self._entrance.client(request)
        known = (*await self._models.all(), *self._vectors.known)
        return json_response({"models": [models.tag(*await _looked_at(each)) for each in known]})

    async def running(self, request: web.Request) -> web.Response:
        """The models that an engine has in memory."""
        self._entrance.client(request)
        told = []
        for name, memory_bytes in self._facts.in_memory().items():
            looked_at = await _looked_at(await self._models.find(name))
            told.append(models.running(*looked_at, memory_bytes or self._memory_bytes()))
        return json_response({"models": told})

    async def show(self, request: web.Request) -> web.Response:
        self._entrance.client(request)
        body = read_object(await read_body(request))
        wanted = _wanted(body)
        other = next((each for each in self._vectors.known if each.goes_by(wanted or "")), None)
        known = other or await self._models.find(wanted)
        looked_at = await _looked_at(known)
        return json_response(models.show(*looked_at, embeds=other is not None))

    async def pull(self, request: web.Request) -> web.StreamResponse:
        """Fetches a model while the client watches, line by line unless told otherwise."""
        if not self._entrance.who(request).operates:
            raise Forbidden("without a token models are pulled from the node's own machine")
        body = read_object(await read_body(request))
        wanted, streams = _wanted(body), reading.streams(body)
        with suppress(errors.UnknownModel):
            await self._models.find(wanted)
            return json_response({"status": SUCCESS})
        wake = Wake()
        watched = self._pulls.watch(wanted, wake)
        connection = Connection(request, self._calls.clock, wake, KEEP_ALIVE_MS)
        try:
            if streams:
                return await _told(request, watched, wake, connection)
            while not watched.over:
                await wake.wait()
                _check_there(connection)
        finally:
            connection.close()
            self._pulls.leave(watched, wake)
        if watched.error is not None:
            raise watched.error
        return json_response(watched.state)

    async def not_offered(self, request: web.Request) -> web.Response:
        self._entrance.client(request)
        raise errors.NotOffered(f"{request.path} {_MADE_ELSEWHERE}")

    # ---- answers

    async def chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, reading.chat, forms.message, "messages")

    async def generate(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, reading.generate, forms.response, "prompt")

    async def _answer(
        self, request: web.Request, read: Read, say: forms.Say, asked: str
    ) -> web.StreamResponse:
        """``asked`` is the member without which nothing is to be said."""
        received = await self._entrance.read(request)
        name, clock = models.name_of(received.model), self._calls.clock
        if reading.only_loads(received.body, asked):
            return json_response(forms.Answer(name, say, clock).loaded())
        call, held, head = await self._entrance.accept(request, received, read)
        answer = forms.Answer(name, say, clock, head.task_id)
        if call.stream:
            return await self._calls.stream(request, held, answer)
        return await self._calls.whole(request, held, answer.whole)

    async def embed(self, request: web.Request) -> web.StreamResponse:
        """Vectors of length one, as many as there are texts."""
        begun_ns = self._calls.clock.now_ns()
        name, vectors = await self._embedded(request, embeddings.read)
        total_ns = self._calls.clock.now_ns() - begun_ns
        return json_response(embeddings.answer(name, vectors, total_ns))

    async def embed_one(self, request: web.Request) -> web.StreamResponse:
        """The vector of one text, as clients ask for it that are older."""
        _, vectors = await self._embedded(request, embeddings.read_one)
        return json_response(embeddings.answer_one(vectors))

    async def _embedded(
        self, request: web.Request, read: Callable[[dict[str, Any]], embeddings.Wanted]
    ) -> tuple[str, Vectors]:
        """The name of the model that is asked, and what it makes of the texts."""
        who = self._entrance.who(request)
        body = read_object(await read_body(request))
        wanted, known = read(body), self._vectors.embeds
        name = models.name_of(find(model_of(body), known)) if known else ""
        if known and not wanted.texts:
            return name, Vectors((), ())
        how = {"truncate": wanted.truncate, "dimensions": wanted.dimensions, "as_json": True}
        return name, await self._vectors.vectors(request, who, wanted.texts, **how)


def _wanted(body: dict[str, Any]) -> str:
    """The model that a body names, also by the name that this member had before."""
    wanted = body.get("model") or body.get("name")
    if not isinstance(wanted, str):
        raise InvalidRequest("model has to be text", field="model")
    return wanted


async def _told(
    request: web.Request, watched: Pull, wake: Wake, connection: Connection
) -> web.StreamResponse:
    """Says how a pull comes on, each time that there is news, and when there was none for long."""
    response = web.StreamResponse(headers={"Content-Type": forms.LINES})
    await response.prepare(request)
    await response.write(forms.line(watched.state))
    while not watched.over:
        await wake.wait()
        _check_there(connection)
        if watched.error is None:
            await response.write(forms.line(watched.state))
            connection.spoke()
    if watched.error is not None:
        await response.write(forms.line(told(watched.error)))
    await response.write_eof()
    return response


def _check_there(connection: Connection) -> None:
    if connection.gone:
        raise ConnectionResetError("the client has gone away")


async def _looked_at(known: Known) -> tuple[Known, Description, int]:
    """A model, what its file says, and when that was written."""
    return known, *await asyncio.to_thread(_look, known.file.path)


def _look(path: Path) -> tuple[Description, int]:
    try:
        return describe(path), path.stat().st_mtime_ns
    except (ModelError, OSError):
        # Its file has gone while it runs: what is known of it without that is told.
        return UNKNOWN, 0
