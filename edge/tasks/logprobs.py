"""How likely the tokens of an answer were, beside which others: as a task keeps it, and as it is
shown. Pure.

A task keeps a line of JSON for each token, ``[text, logprob, offset, [[text, logprob], …]]``, as
the engine wrote it: with 20 alternatives some 450 bytes, where the same as objects takes six times
as many. Texts are a token's bytes, one character (U+0000 to U+00FF) for each: a token may be half a
character, which is no text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson

from edge.errors import InvalidRequest

ALTERNATIVES_MAX: Final = 20
"""As in OpenAI's interface."""
FIGURES_MAX: Final = 32_768
"""Of one task, its tokens' own and their alternatives': under 1 MiB, written down with the task,
and 20 ms to show."""


class TokenLogprob(NamedTuple):
    """A token of an answer. ``logprob`` is the natural logarithm of its probability by the model
    alone, before temperature and all that leaves tokens out. ``offset`` is where its text begins in
    the answer, in characters; for one that goes on with a character, where that begins. ``top`` are
    the likeliest tokens at its place with theirs, the likeliest first; it may be one of them."""

    token: bytes
    logprob: float
    offset: int
    top: tuple[tuple[bytes, float], ...]


def check(alternatives: int | None, max_tokens: int) -> None:
    """InvalidRequest when so many alternatives of so many tokens are more than a task may have."""
    if alternatives is None or (1 + alternatives) * max_tokens <= FIGURES_MAX:
        return
    most = FIGURES_MAX // (1 + alternatives)
    raise InvalidRequest(
        f"with {alternatives} logprobs an answer may have {most} tokens at most, and max_tokens is"
        f" {max_tokens}; ask for less of one of them",
        field="logprobs",
    )


def read(line: str) -> TokenLogprob:
    """A line that a task keeps."""
    text, logprob, offset, top = orjson.loads(line)
    alternatives = tuple((each.encode("latin-1"), value) for each, value in top)
    return TokenLogprob(text.encode("latin-1"), logprob, offset, alternatives)


def between(lines: Sequence[str], start: int, end: int) -> list[TokenLogprob]:
    """The tokens whose text begins at one of these characters: all of an answer cut into pieces of
    text are those of the pieces. What is not before the end of a whole answer is of a stop string,
    or a character that never became whole."""
    first = bisect_left(lines, start, key=_offset)
    return [read(line) for line in lines[first : _until(lines, end)]]


def before(lines: tuple[str, ...], end: int) -> tuple[str, ...]:
    """Those of the tokens whose text begins before this character."""
    return lines[: _until(lines, end)]


def _until(lines: Sequence[str], end: int) -> int:
    return bisect_left(lines, end, key=_offset)


def shown(token: TokenLogprob) -> dict[str, Any]:
    """As clients see it."""
    others = [_shown(text, logprob) for text, logprob in token.top]
    return {**_shown(token.token, token.logprob), "offset": token.offset, "top_logprobs": others}


def _shown(text: bytes, logprob: float) -> dict[str, Any]:
    return {"token": text.decode("utf-8", "replace"), "bytes": list(text), "logprob": logprob}


def _offset(line: str) -> int:
    offset: int = orjson.loads(line)[2]
    return offset
