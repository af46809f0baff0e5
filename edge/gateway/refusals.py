"""The refusal of what comes to no handler, in the shape of the interface that it was meant for."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from edge.errors import ElwiftError
from edge.gateway import problems
from edge.gateway.calls import errors
from edge.gateway.ollama import errors as ollama
from edge.gateway.openai import errors as openai

_INTERFACES: Final = ((openai.is_ours, openai.body), (ollama.is_ours, ollama.body))


def refusal(path: str, error: ElwiftError) -> web.Response:
    """The answer to a request for this path, of which the beginning may be all that is known."""
    for is_ours, body in _INTERFACES:
        if is_ours(path):
            response = errors.answer(error, body)
            response.headers[errors.REQUEST_ID] = errors.new_request_id()
            return response
    return problems.from_error(error)
