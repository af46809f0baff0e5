"""Whose vectors may be cut. Pure.

A vector's first numbers are a vector of their own where the model was trained for that ("Matryoshka
Representation Learning", Kusupati et al., 2022); of any other they are noise. No entry of a GGUF
says so, hence the names.
"""

from __future__ import annotations

import re
from typing import Final

from edge.inference.model_file import ModelFile

_ARCHITECTURES: Final = frozenset({"gemma-embedding"})
_NAMES: Final = re.compile(
    "qwen3-embedding|embedding-?gemma|nomic-embed-text-v(1-5|2)|mxbai-embed-(large|2d)"
    "|jina-embeddings-v[3-9]|arctic-embed-(m-v1-5|[ml]-v2)"
)
_OTHER: Final = re.compile("[^a-z0-9]+")


def may_be_cut(model: ModelFile) -> bool:
    """Whether it is one of those that are known to be trained for it, by what its file says."""
    names = (model.name, model.path.stem, model.description)
    plain = (_OTHER.sub("-", name.lower()) for name in names)
    return model.architecture in _ARCHITECTURES or any(map(_NAMES.search, plain))
