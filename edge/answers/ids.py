"""By what the answer of a tool names the call. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from edge.conversation import Message

_BYTES: Final = 12
_SHORT: Final = re.compile("[A-Za-z0-9]{9}")
_SHORT_CHARS: Final = 9


def call_id(task_id: str, index: int) -> str:
    """The id of a call in the answer of a task: the same whenever it is asked for, and another for
    each call of each task."""
    return f"call_{_digest(f'{task_id}/{index}')}"


def shortened(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The same conversation with ids of nine letters and digits, as Mistral's templates demand."""
    return tuple(
        message._replace(
            tool_calls=tuple(
                call._replace(call_id=_short(call.call_id)) for call in message.tool_calls
            ),
            tool_call_id=_short(message.tool_call_id) if message.role == "tool" else None,
        )
        for message in messages
    )


def _short(given: str | None) -> str:
    if given is not None and _SHORT.fullmatch(given):
        return given
    return _digest(given or "")[:_SHORT_CHARS]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=_BYTES).hexdigest()
