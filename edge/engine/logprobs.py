"""How likely a token was, and which others were: by the model's own logits, before any sampler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import orjson
from numpy.typing import NDArray

IMPOSSIBLE: Final = -9999.0
"""In place of a logarithm of nothing, which JSON cannot say; OpenAI's interface does the same."""
_DIGITS: Final = 6


def line(
    logits: NDArray[np.float32],
    token: int,
    alternatives: int,
    offset: int,
    piece: Callable[[int], bytes],
) -> str:
    """The line of `edge.engine.messages.Output` about this token, with so many of the likeliest
    beside it. ``piece`` gives a token's bytes."""
    # In double precision: a sum over 262,144 floats of 32 bits is off in the third digit.
    shifted = logits.astype(np.float64) - float(logits.max())
    total = float(np.log(np.exp(shifted).sum()))

    def logprob(of: int) -> float:
        return max(IMPOSSIBLE, round(float(shifted[of]) - total, _DIGITS))

    def text(of: int) -> str:
        return piece(of).decode("latin-1")

    best = [int(each) for each in _likeliest(logits, alternatives)]
    top = [(text(each), logprob(each)) for each in best]
    return orjson.dumps((text(token), logprob(token), offset, top)).decode()


def _likeliest(logits: NDArray[np.float32], number: int) -> NDArray[np.intp]:
    """The likeliest first; of equals the one with the lower id."""
    number = min(number, len(logits))
    if not number:
        return np.empty(0, np.intp)
    least = np.partition(logits, -number)[-number]
    candidates = np.flatnonzero(logits >= least)
    return candidates[np.argsort(-logits[candidates], kind="stable")][:number]
