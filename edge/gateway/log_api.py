"""How much the log says, while the node runs: ``GET`` and ``PUT /log``.

For who looks after the node, like its metrics. What is set here holds until the node ends.
"""

from __future__ import annotations

import logging

from aiohttp import web

from edge.errors import Forbidden
from edge.gateway.access import Access
from edge.gateway.json import json_response
from edge.gateway.reading import Query
from edge.settings.tree import LOG_LEVELS
from edge.telemetry.log import logger


class LogApi:
    """The handlers; `mount` puts them in their places."""

    def __init__(self, access: Access, level: str) -> None:
        """``level`` is that of the settings."""
        self._access = access
        self._level = level

    def mount(self, app: web.Application) -> None:
        app.router.add_get("/log", self.show)
        app.router.add_put("/log", self.change)

    async def show(self, request: web.Request) -> web.Response:
        """The level."""
        self._check_operator(request)
        return json_response(_document())

    async def change(self, request: web.Request) -> web.Response:
        """Another level, at once; without one that of the settings."""
        self._check_operator(request)
        level = Query(request.query, "level").choice("level", LOG_LEVELS)
        logger.setLevel((level or self._level).upper())
        return json_response(_document())

    def _check_operator(self, request: web.Request) -> None:
        if not self._access.caller_of(request.headers, request.remote).operates:
            raise Forbidden("without a token the log is set from the node's own machine")


def _document() -> dict[str, str]:
    return {"level": logging.getLevelName(logger.getEffectiveLevel()).lower()}
