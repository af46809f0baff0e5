"""DRY samplers ("don't repeat yourself"; llama.cpp's own), which take long to set up.

llama.cpp looks for the sequence breakers in every token of the vocabulary, 11 ms with 49,152. A
copy of one that is ready takes 0.03 ms. So one of each kind that was asked for lately is kept, and
never used itself.
"""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from typing import Any, Final, NamedTuple

import llama_cpp as api

KEPT_MAX: Final = 16
"""Kinds. Each has a table of the tokens in which its breakers are."""


class Kind(NamedTuple):
    """What one is set up by, in llama.cpp's terms; ``lookback`` is in tokens."""

    multiplier: float
    base: float
    allowed_length: int
    lookback: int
    breakers: tuple[str, ...]


class DrySamplers:
    """Those of one vocabulary, which is llama.cpp's."""

    def __init__(self, vocab: Any) -> None:
        self._vocab = vocab
        self._kept: OrderedDict[Kind, Any] = OrderedDict()

    def make(self, kind: Kind) -> Any:
        """A new sampler, which is the caller's to free."""
        if kind in self._kept:
            self._kept.move_to_end(kind)
        else:
            self._kept[kind] = self._set_up(kind)
            if len(self._kept) > KEPT_MAX:
                _, oldest = self._kept.popitem(last=False)
                api.llama_sampler_free(oldest)
        return api.llama_sampler_clone(self._kept[kind])

    def _set_up(self, kind: Kind) -> Any:
        breakers = [each.encode() for each in kind.breakers]
        array = (ctypes.c_char_p * len(breakers))(*breakers)
        return api.llama_sampler_init_dry(
            self._vocab,
            kind.multiplier,
            kind.base,
            kind.allowed_length,
            kind.lookback,
            array,
            len(breakers),
        )
