"""Before everything else: each request has an id, which its answer, its log lines and its errors
tell (``X-Request-Id``, the client's own where that can be told), and is an event with its time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from edge.clock import Clock
from edge.telemetry import Telemetry, context
from edge.telemetry.context import Asked

HEADER: Final = "X-Request-Id"
ASKED: Final = web.RequestKey("asked", Asked)


class Requests:
    """`guard` puts it in front of an application."""

    def __init__(self, telemetry: Telemetry, clock: Clock) -> None:
        self._telemetry = telemetry
        self._clock = clock

    def guard(self, app: web.Application) -> None:
        """From now on every request passes here before all other middlewares."""
        app.middlewares.insert(0, self._pass)
        # Streamed answers are under way before a middleware sees them.
        app.on_response_prepare.append(_prepare)

    @web.middleware
    async def _pass(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        asked = request[ASKED] = read(request)
        asked.task_id = request.match_info.get("task_id")
        resource = request.match_info.route.resource
        begun = context.begin(asked)
        try:
            with self._telemetry.span(
                "request",
                self._clock,
                method=request.method,
                route="" if resource is None else resource.canonical,
                request_id=asked.request_id,
            ) as span:
                response = await handler(request)
                span.tell(status=response.status, cause=asked.cause)
                return response
        finally:
            context.end(begun)


def read(request: web.BaseRequest) -> Asked:
    """What a request says of itself. A header that is there twice says nothing."""
    own, trace = (request.headers.getall(name, []) for name in (HEADER, "traceparent"))
    return Asked(
        context.read_request_id(own[0]) if len(own) == 1 else None,
        context.read_traceparent(trace[0]) if len(trace) == 1 else None,
    )


async def _prepare(request: web.Request, response: web.StreamResponse) -> None:
    asked = request.get(ASKED)
    if asked is not None:
        # A call of an app has been given its id already, which is the same one.
        response.headers[HEADER] = asked.request_id
