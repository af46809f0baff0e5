"""How much a model is to think before it answers, as OpenAI's clients say it. Pure."""

from __future__ import annotations

from typing import Any, Final

import orjson

from edge.errors import InvalidRequest
from edge.gateway.submission import FIELDS

KWARGS: Final = "chat_template_kwargs"
_OFF: Final = "none"


def variables(effort: Any, field: str, kwargs: Any = None) -> str | None:
    """What the chat template is told, as `edge.tasks.task.Request` has it: ``effort``, and
    ``kwargs`` that say it in the template's own words, which count where both say something.
    InvalidRequest names ``field`` for the one, `KWARGS` for the other."""
    told: dict[str, Any] = {}
    if effort is not None:
        if not isinstance(effort, str):
            raise InvalidRequest(f"{field} has to be text", field=field)
        told["enable_thinking"] = effort != _OFF
        if effort != _OFF:
            told["reasoning_effort"] = effort
    if kwargs is not None:
        given = FIELDS["template_variables"].check(KWARGS, kwargs)
        told |= orjson.loads(given or "{}")
    return orjson.dumps(told).decode() if told else None
