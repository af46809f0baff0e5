"""All tokens with their logits, in the form that llama.cpp's samplers work on."""

from __future__ import annotations

import ctypes
from typing import Any, Final

import llama_cpp as api
import numpy as np
from numpy.typing import NDArray

BLOCK_TOKENS: Final = 256
LARGE_VOCABULARY: Final = 65_536
"""From here on it pays to look for the likeliest tokens before a chain does. Measured with 40 of
262,144: 0.6 ms a token where the chain alone took 1.4; with 32,768 it is the same."""

_ROW: Final = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Candidates:
    """Room for as many tokens as a vocabulary has; at 262,144 it takes 3 MiB."""

    def __init__(self, size: int) -> None:
        self._rows = np.zeros(size, dtype=_ROW)
        self._ids = np.arange(size, dtype=np.int32)
        self._array: Any = api.llama_token_data_array()

    def take(self, sampler: Any, logits: NDArray[np.float32], grammar: Any = None) -> int:
        """The token that the sampler takes by these logits, of those that the grammar allows."""
        return self._take(sampler, self._ids, logits, grammar)

    def take_among(
        self, sampler: Any, logits: NDArray[np.float32], number: int, others: NDArray[np.int32]
    ) -> int:
        """As `take`, for a sampler that changes the logits of these ``others`` alone, and then
        chooses among at most so many of the likeliest tokens: the same token. No more are looked at
        than the others and so many of the rest."""
        ids = likeliest(logits, number) if not len(others) else _and(logits, number, others)
        return self._take(sampler, ids, logits[ids], None)

    def _take(
        self, sampler: Any, ids: NDArray[Any], logits: NDArray[np.float32], grammar: Any
    ) -> int:
        rows, array = self._rows[: len(ids)], self._array
        rows["id"], rows["logit"], rows["p"] = ids, logits, 0
        # A sampler may have turned to an array of its own, and left tokens out.
        array.data = rows.ctypes.data_as(ctypes.POINTER(api.llama_token_data))
        array.size, array.selected, array.sorted = len(rows), -1, False
        if grammar is not None:
            api.llama_sampler_apply(grammar, ctypes.byref(array))
        api.llama_sampler_apply(sampler, ctypes.byref(array))
        assert array.selected >= 0, "a chain ends with what takes a token"
        return int(array.data[array.selected].id)


def _and(
    logits: NDArray[np.float32], number: int, others: NDArray[np.int32]
) -> NDArray[np.integer[Any]]:
    """The others, and among the rest the so many likeliest."""
    theirs = logits[others]
    logits[others] = float("-inf")
    try:
        ids = likeliest(logits, number)
    finally:
        logits[others] = theirs
    return np.union1d(ids, others)


def likeliest(logits: NDArray[np.float32], number: int) -> NDArray[np.intp]:
    """Ids in which the so many likeliest tokens are, and others that are no less likely than what
    was seen to be a bound for them. In one look at all logits: where so many blocks have a logit
    of at least some value, so many tokens have, and the likeliest are among all that do."""
    whole = len(logits) // BLOCK_TOKENS
    blocks = logits[: whole * BLOCK_TOKENS].reshape(whole, BLOCK_TOKENS)
    if not 0 < number <= whole:
        return np.arange(len(logits))
    best = blocks.max(axis=1)
    least = np.partition(best, whole - number)[whole - number]
    which = np.flatnonzero(best >= least)
    row, column = np.nonzero(blocks[which] >= least)
    rest = np.flatnonzero(logits[whole * BLOCK_TOKENS :] >= least) + whole * BLOCK_TOKENS
    return np.concatenate((which[row] * BLOCK_TOKENS + column, rest))


def allows(grammar: Any, token: int) -> bool:
    """Whether this token may be the next by the grammar."""
    alone = api.llama_token_data(token, 0.0, 0.0)
    array = api.llama_token_data_array(ctypes.pointer(alone), 1, -1, False)
    api.llama_sampler_apply(grammar, ctypes.byref(array))
    return bool(alone.logit > float("-inf"))
