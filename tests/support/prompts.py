"""A prompt's tokens, all at once."""

from __future__ import annotations

from collections.abc import Sequence

from edge.conversation import Message
from edge.engine.prompt import Prompts


def tokens_of(
    prompts: Prompts,
    prompt: str | None,
    messages: Sequence[tuple[str, str] | Message] | None = None,
    begun: str = "",
    **given: str,
) -> tuple[int, ...]:
    """All of it, without anybody having a turn between. A message may be a pair; ``given`` are
    tools and variables."""
    said = None if messages is None else [Message(*each) for each in messages]
    work = prompts.tokens(prompt, said, begun, **given)
    while True:
        try:
            next(work)
        except StopIteration as stop:
            whole: tuple[int, ...] = stop.value
            return whole
