"""A prompt's tokens, all at once."""

from __future__ import annotations

from edge.engine.prompt import Messages, Prompts


def tokens_of(
    prompts: Prompts, prompt: str | None, messages: Messages | None = None, begun: str = ""
) -> tuple[int, ...]:
    """All of it, without anybody having a turn between."""
    work = prompts.tokens(prompt, messages, begun)
    while True:
        try:
            next(work)
        except StopIteration as stop:
            whole: tuple[int, ...] = stop.value
            return whole
