"""What a request of an app's interface comes through: who asks, for which model, and its tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple
from uuid import uuid4

from aiohttp import web

from edge.clock import NS_PER_S
from edge.errors import InvalidRequest
from edge.gateway.access import Access
from edge.gateway.access import Caller as Who
from edge.gateway.calls import errors
from edge.gateway.calls.calls import Calls, Held
from edge.gateway.calls.forms import Head
from edge.gateway.calls.models import Models
from edge.gateway.calls.names import Known
from edge.gateway.calls.reading import Bounds, Call, Caller, fingerprint, read_object
from edge.gateway.calls.retries import COUNT, key_of
from edge.gateway.facts import NodeFacts
from edge.gateway.http.body import read_body
from edge.inference import CONTEXT_TOKENS_DEFAULT
from edge.settings import Settings

_RESPOND_ASYNC: Final = "respond-async"

Read = Callable[[dict[str, Any], str, Caller, Bounds], Call]
"""Makes the tasks of a body: the first one's id, whose they are, and what bounds them."""


class Received(NamedTuple):
    """A request that has been read as far as all interfaces are alike. ``data`` is its body as it
    came, ``body`` the object without its nulls."""

    who: Who
    data: bytes
    body: dict[str, Any]
    model: Known


class Entrance:
    """The way in, for all interfaces alike."""

    def __init__(
        self, calls: Calls, access: Access, settings: Settings, facts: NodeFacts, models: Models
    ) -> None:
        self.calls = calls
        self.models = models
        self._access = access
        self._settings = settings
        self._facts = facts

    def who(self, request: web.Request) -> Who:
        """Who asks. Forbidden for who may not."""
        return self._access.caller_of(_with_key(request), request.remote)

    def client(self, request: web.Request) -> str:
        """The name of who asks. Forbidden for who may not."""
        return self._access.client_of(_with_key(request))

    async def read(self, request: web.Request) -> Received:
        """Reads a request for an answer of a model. Raises what `read_body` does, `MalformedBody`
        and `UnknownModel`."""
        who = self.who(request)
        data = await read_body(request)
        body = read_object(data)
        return Received(who, data, body, await self.models.find(model_of(body)))

    async def accept(
        self, request: web.Request, received: Received, read: Read
    ) -> tuple[Call, Held, Head]:
        """Has what a request asks for accepted, or finds what it repeats."""
        who, data = received.who, received.data
        key = request.headers.get("Idempotency-Key")
        whose = Caller(who.client, who.address, key, fingerprint(data))
        call = read(received.body, str(uuid4()), whose, self._bounds(received.model.name))
        again = None
        task_ids: tuple[str, ...] | None = None
        if COUNT in request.headers:
            again = key_of(who.client, who.address or "", request.path, data)
            if request.headers[COUNT] not in ("", "0"):
                task_ids = await self.calls.rejoin(who.client, again)
        if task_ids is None:
            task_ids = await self.calls.accept(call)
        held = Held(
            client=who.client,
            task_ids=task_ids,
            request_id=errors.new_request_id(),
            choices=call.choices,
            keep=_keeps(request),
            again=again,
            logprobs=call.requests[0].options.logprobs is not None,
        )
        created_s = self.calls.clock.wall_ns() // NS_PER_S
        return call, held, Head(task_ids[0], created_s, received.model.name)

    def _bounds(self, model: str) -> Bounds:
        context_tokens = self._facts.of(model).context_tokens or CONTEXT_TOKENS_DEFAULT
        return Bounds(self._settings.tasks, context_tokens, model)


def _with_key(request: web.Request) -> dict[str, str]:
    """The request's headers as `Access` reads them, wherever the client has put its key."""
    for name in ("Authorization", "x-api-key", "api-key"):
        value = request.headers.get(name)
        if value:
            return {"Authorization": value if name == "Authorization" else f"Bearer {value}"}
    return {}


def model_of(body: dict[str, Any]) -> str | None:
    """The model that a body names; None for none. InvalidRequest when that is no text."""
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise InvalidRequest("model has to be text", field="model")
    return model


def _keeps(request: web.Request) -> bool:
    """RFC 7240 section 4.1: the client does not mean to wait."""
    wishes = ",".join(request.headers.getall("Prefer", [])).split(",")
    return any(each.partition(";")[0].strip().lower() == _RESPOND_ASYNC for each in wishes)
