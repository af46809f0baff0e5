"""``GET /metrics``: Prometheus's text, or OpenMetrics where that is asked for.

For who looks after the node: on a node with tokens each token's client, on an open one whoever
calls from the machine itself.
"""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web
from prometheus_client import exposition
from prometheus_client.openmetrics import exposition as openmetrics

from edge.errors import Forbidden
from edge.gateway.access import Access
from edge.metrics import Metrics

OPENMETRICS: Final = "application/openmetrics-text"
_NEVER: Final = re.compile(r"q=0(\.0{0,3})?")


class MetricsApi:
    """The handler; `mount` puts it in its place."""

    def __init__(self, metrics: Metrics, access: Access) -> None:
        self._metrics = metrics
        self._access = access

    def mount(self, app: web.Application) -> None:
        app.router.add_get("/metrics", self.show)

    async def show(self, request: web.Request) -> web.Response:
        """All metrics, as the client's ``Accept`` has it."""
        if not self._access.caller_of(request.headers, request.remote).operates:
            raise Forbidden("without a token the metrics are read from the node's own machine")
        if wants_openmetrics(request.headers.get("Accept", "")):
            # Its types are not told.
            body = openmetrics.generate_latest(self._metrics.registry)  # type: ignore[no-untyped-call]
            content_type = openmetrics.CONTENT_TYPE_LATEST
        else:
            body = exposition.generate_latest(self._metrics.registry)
            content_type = exposition.CONTENT_TYPE_PLAIN_0_0_4
        return web.Response(body=body, headers={"Content-Type": content_type, "Vary": "Accept"})


def wants_openmetrics(accept: str) -> bool:
    """Whether a client takes OpenMetrics (RFC 9110 section 12.5.1). Prometheus names it first; all
    others get the older text, whatever they say."""
    for each in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in each.split(";"))
        if kind == OPENMETRICS:
            return not any(_NEVER.fullmatch(parameter) for parameter in parameters)
    return False
