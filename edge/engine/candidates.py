"""All tokens with their logits, in the form that llama.cpp's samplers work on."""

from __future__ import annotations

import ctypes
from typing import Any, Final

import llama_cpp as api
import numpy as np
from numpy.typing import NDArray

_ROW: Final = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Candidates:
    """Room for as many tokens as a vocabulary has; at 262,144 it takes 3 MiB."""

    def __init__(self, size: int) -> None:
        self._rows = np.zeros(size, dtype=_ROW)
        self._ids = np.arange(size, dtype=np.int32)
        self._array: Any = api.llama_token_data_array()

    def take(self, sampler: Any, logits: NDArray[np.float32], grammar: Any = None) -> int:
        """The token that the sampler takes by these logits, of those that the grammar allows."""
        rows, array = self._rows, self._array
        rows["id"], rows["logit"], rows["p"] = self._ids, logits, 0
        # A sampler may have turned to an array of its own, and left tokens out.
        array.data = rows.ctypes.data_as(ctypes.POINTER(api.llama_token_data))
        array.size, array.selected, array.sorted = len(rows), -1, False
        if grammar is not None:
            api.llama_sampler_apply(grammar, ctypes.byref(array))
        api.llama_sampler_apply(sampler, ctypes.byref(array))
        assert array.selected >= 0, "a chain ends with what takes a token"
        return int(array.data[array.selected].id)


def allows(grammar: Any, token: int) -> bool:
    """Whether this token may be the next by the grammar."""
    alone = api.llama_token_data(token, 0.0, 0.0)
    array = api.llama_token_data_array(ctypes.pointer(alone), 1, -1, False)
    api.llama_sampler_apply(grammar, ctypes.byref(array))
    return bool(alone.logit > float("-inf"))
