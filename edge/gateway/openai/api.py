"""The handlers of OpenAI's interface; `OpenAiApi.mount` puts them in their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from aiohttp import web

from edge.clock import NS_PER_S
from edge.errors import NotFound
from edge.gateway.calls import errors as failures
from edge.gateway.calls.calls import Held
from edge.gateway.calls.entrance import Entrance, Read
from edge.gateway.calls.forms import Ended, Head
from edge.gateway.calls.names import Known
from edge.gateway.calls.reading import Call
from edge.gateway.json import json_response
from edge.gateway.openai import forms, reading, responses
from edge.gateway.reading import clipped
from edge.gateway.times import parse_time
from edge.tasks import ids
from edge.tasks.task import State

VERSION: Final = "/v1"


class OpenAiApi:
    """What ``/v1`` answers, and what stands at the same places without it."""

    def __init__(self, entrance: Entrance, others: tuple[Known, ...] = ()) -> None:
        """``others`` are models that write nothing, and are listed beside those that do."""
        self._others = others
        self._entrance = entrance
        self._calls = entrance.calls
        self._models = entrance.models

    def mount(self, app: web.Application) -> None:
        for root in (VERSION, ""):
            app.router.add_post(f"{root}/chat/completions", self.chat)
            app.router.add_get(f"{root}/chat/completions/{{id}}", self.chat_again)
            app.router.add_post(f"{root}/completions", self.completions)
            app.router.add_post(f"{root}/responses", self.respond)
            app.router.add_get(f"{root}/responses/{{id}}", self.response_again)
            app.router.add_post(f"{root}/responses/{{id}}/cancel", self.response_cancel)
            app.router.add_get(f"{root}/models", self.models)
            app.router.add_get(f"{root}/models/{{id:.+}}", self.model)

    # ---- models

    async def models(self, request: web.Request) -> web.Response:
        """What can be asked; it needs no engine to be there."""
        self._entrance.client(request)
        models = (*await self._models.all(), *self._others)
        return self._json({"object": "list", "data": [each.document() for each in models]})

    async def model(self, request: web.Request) -> web.Response:
        self._entrance.client(request)
        wanted = request.match_info["id"]
        other = next((each for each in self._others if each.goes_by(wanted)), None)
        return self._json((other or await self._models.find(wanted)).document())

    # ---- answers

    async def chat(self, request: web.Request) -> web.StreamResponse:
        call, held, head = await self._accept(request, reading.chat)
        if call.stream:
            chunks = forms.ChatChunks(head, include_usage=call.include_usage)
            return await self._calls.stream(request, held, chunks)
        return await self._calls.whole(request, held, partial(forms.chat, head))

    async def chat_again(self, request: web.Request) -> web.StreamResponse:
        """The answer of a call, or of any task; waited for where it has not ended."""
        client = self._entrance.client(request)
        task_id = _task_of(request.match_info["id"], forms.CHAT_ID)
        documents = await self._calls.family(client, task_id, reading.CHOICES_MAX)
        held, head = self._again(client, documents)
        if _wants_stream(request):
            chunks = forms.ChatChunks(head, include_usage=True)
            return await self._calls.stream(request, held, chunks)
        return await self._calls.whole(request, held, partial(forms.chat, head))

    async def completions(self, request: web.Request) -> web.StreamResponse:
        call, held, head = await self._accept(request, reading.completions)
        if call.stream:
            chunks = forms.CompletionChunks(head, include_usage=call.include_usage)
            return await self._calls.stream(request, held, chunks)
        render = partial(forms.completion, head, choices=call.choices)
        return await self._calls.whole(request, held, render)

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """In the background: answered at once, and to be asked for again."""
        call, held, head = await self._accept(request, responses.read)
        background = call.body.get("background", False)
        document = await self._calls.tasks.document(held.task_ids[0], held.client)
        asked = responses.Asked.of_document(document, background=background)
        held = replace(held, keep=held.keep or background)
        if call.stream:
            return await self._calls.stream(request, held, responses.ResponseChunks(head, asked))
        if background:
            return self._response_of(document, head, asked, held.headers)
        return await self._calls.whole(request, held, partial(_response, head, asked))

    async def response_again(self, request: web.Request) -> web.StreamResponse:
        """A response as it is now, or its events from the first on."""
        client = self._entrance.client(request)
        task_id = _task_of(request.match_info["id"], responses.ID)
        document = await self._calls.tasks.document(task_id, client)
        held, head = self._again(client, [document])
        asked = responses.Asked.of_document(document)
        if _wants_stream(request):
            return await self._calls.stream(request, held, responses.ResponseChunks(head, asked))
        return self._response_of(document, head, asked, held.headers)

    async def response_cancel(self, request: web.Request) -> web.StreamResponse:
        """Cancels what has not ended; the response as it is then."""
        client = self._entrance.client(request)
        task_id = _task_of(request.match_info["id"], responses.ID)
        await self._calls.tasks.document(task_id, client)
        await self._calls.cancel(client, (task_id,))
        return await self.response_again(request)

    def _response_of(
        self,
        document: dict[str, Any],
        head: Head,
        asked: responses.Asked,
        headers: dict[str, str],
    ) -> web.Response:
        status, ended, error = responses.status_of(document), None, None
        if document["state"] == State.COMPLETED:
            ended = Ended.of(document)
        elif document["state"] == State.DISCARDED:
            error = failures.failed(document["errors"][-1] if document["errors"] else None)
        answer = json_response(responses.response(head, asked, status, ended=ended, error=error))
        answer.headers.update(headers)
        return answer

    async def _accept(self, request: web.Request, read: Read) -> tuple[Call, Held, Head]:
        return await self._entrance.accept(request, await self._entrance.read(request), read)

    def _again(self, client: str, documents: list[dict[str, Any]]) -> tuple[Held, Head]:
        """Tasks of before, which go on whether somebody waits or not."""
        first = documents[0]
        held = Held(
            client=client,
            task_ids=tuple(str(each["task_id"]) for each in documents),
            request_id=failures.new_request_id(),
            choices=len(documents),
            keep=True,
            logprobs=first["options"]["logprobs"] is not None,
        )
        created_s = parse_time(first["created_at"]) // NS_PER_S
        return held, Head(first["task_id"], created_s, first["model"] or self._models.own.name)

    def _json(self, value: object) -> web.Response:
        response = json_response(value)
        response.headers[failures.REQUEST_ID] = failures.new_request_id()
        return response


def _response(head: Head, asked: responses.Asked, ended: Sequence[Ended]) -> dict[str, Any]:
    status = responses.ended_status(ended[0])
    return responses.response(head, asked, status, ended=ended[0])


def _wants_stream(request: web.Request) -> bool:
    return request.query.get("stream") == "true"


def _task_of(written: str, prefix: str) -> str:
    task_id = ids.canonical(written.removeprefix(prefix))
    if task_id is None:
        raise NotFound(f"there is nothing called {clipped(written)!r}", field="id")
    return task_id
