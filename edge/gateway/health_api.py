"""Is it alive, and can it do its work? ``GET /healthz`` and ``GET /readyz``.

The first is cheap, and answered 200 by any node that answers at all: who restarts what hangs asks
it. The second has every part prove that it works (`edge.services.health.readiness`): who sends
tasks to this node, or looks after it, asks that one. It answers 503 when the node can't do its work
now, and 200 when it can, also when something is degraded, which the body then says.

Both are asked by programs that have no token. To those they say how the node is in one word; what
it runs, where things are and what is wrong with them is told to its clients alone.
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from edge import __version__
from edge.actors import ActorDown, CallTimeout, System
from edge.gateway.access import Access
from edge.gateway.facts import NodeFacts
from edge.gateway.json import json_response
from edge.services.health.readiness import Look, models_of
from edge.services.health.status import Figures
from edge.services.task.turns import Turns

SLACK_MS: Final = 1_000
"""The answer comes within the limit; later than this the one who answers hangs."""


class HealthApi:
    """The handlers; `mount` puts them in their places."""

    def __init__(
        self,
        system: System,
        turns: Turns,
        facts: NodeFacts,
        figures: Figures,
        access: Access,
        limit_ms: int,
    ) -> None:
        self._system = system
        self._access = access
        self._turns = turns
        self._facts = facts
        self._figures = figures
        self._limit_ms = limit_ms

    def mount(self, app: web.Application) -> None:
        app.router.add_get("/healthz", self.alive)
        app.router.add_get("/readyz", self.ready)

    async def alive(self, request: web.Request) -> web.Response:
        """Liveness with the facts that an admin asks first. Always 200 while the node answers."""
        turns, facts = self._turns, self._facts
        healthy = (
            turns.engine_is_well
            and facts.durable()
            and facts.quarantined is None
            and not facts.template_fault
        )
        return self._answer(
            request,
            {
                "status": "ok" if healthy else "degraded",
                "version": __version__,
                "engine": turns.engine,
                "model": facts.model,
                "safe_mode": facts.safe_mode,
                "template_fault": facts.template_fault or None,
                "models": models_of(turns),
                "slots": turns.slots,
                "room": self._figures.room or None,
                "threads": self._figures.threads,
                "threads_because": self._figures.threads_because or None,
                "cache": self._figures.cache,
                "running": turns.busy,
                "queued": turns.waiting,
                "durable": facts.durable(),
                "quarantined": facts.quarantined,
            },
            200,
        )

    async def ready(self, request: web.Request) -> web.Response:
        """Deep readiness: 200 for ok and degraded, 503 for unavailable."""
        report = await self._look()
        return self._answer(request, report, 503 if report["status"] == "unavailable" else 200)

    def _answer(self, request: web.Request, document: dict[str, Any], status: int) -> web.Response:
        if not self._access.admits(request.headers):
            document = {"status": document["status"]}
        return json_response(document, status=status)

    async def _look(self) -> Any:
        health = self._system.registry.whereis("health")
        try:
            if health is not None:
                return await health.call(Look(), deadline_ms=self._limit_ms + SLACK_MS)
            reason = "the actor that looks after the health is gone"
        except (ActorDown, CallTimeout) as error:
            reason = str(error)
        return {"status": "unavailable", "reasons": [reason], "parts": {}}
