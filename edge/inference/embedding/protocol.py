"""What is said to the actor of an engine of embeddings, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EmbedTexts:
    """A call: turn these texts, one at least, into vectors, or rank them for a ``query``; what else
    it has in common with `edge.engine.messages.Embed` means the same. ``client`` is for whom, and
    whose turn it is; ``field`` is what the texts are called in errors.

    The answer is `Vectors`. Errors: `PromptTooLong` or `InvalidRequest` for a text that cannot be
    one, `LimitReached` and `Overloaded` where too much waits, or where there is no memory for the
    model, and `EngineError` when the engine cannot do it."""

    client: str
    texts: tuple[str, ...]
    query: str | None = None
    truncate: bool = False
    dimensions: int = 0
    as_json: bool = False
    field: str = "input"


@dataclass(frozen=True, slots=True)
class Vectors:
    """In the order of the texts; see `edge.engine.messages.Embedded`."""

    vectors: tuple[str, ...]
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """The node ends: whoever waits is told to come back, and so is who comes from now on."""
