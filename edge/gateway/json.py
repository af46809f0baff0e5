"""JSON answers."""

from __future__ import annotations

import orjson
from aiohttp import web


def json_response(value: object, *, status: int = 200) -> web.Response:
    """The value as ``application/json``."""
    return web.Response(
        status=status, body=orjson.dumps(value), headers={"Content-Type": "application/json"}
    )
