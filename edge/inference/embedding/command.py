"""From the settings to the command line of an engine of embeddings, and to the memory it needs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final

from edge.inference.box import choose_cores
from edge.inference.fit import SPARE_SHARE, buffer_bytes, layer_bytes, needs_bytes
from edge.inference.model_file import ModelFile
from edge.settings import Embeddings

CONTEXT_TOKENS_DEFAULT: Final = 2_048
"""Of a text at most, where the model was trained with more and the settings do not say: what a pass
works in grows with the square of that."""
PASS_TOKENS: Final = 512
SEQUENCES: Final = 64
"""Of a pass; see `edge.engine.batching.passes`."""
_KV_TYPE: Final = "f16"


@dataclass(frozen=True, slots=True)
class EmbeddingCommand:
    """The worker's command line, for fast or safe mode (`EngineOwner`). A model that ``ranks`` has
    the pooling for that, whatever the settings say of other models."""

    model: ModelFile
    settings: Embeddings
    ranks: bool = False

    def __call__(self, safe: bool) -> tuple[str, ...]:
        settings, shape = self.settings, self.model.shape
        numbers: dict[str, int | str] = {
            "sequences": SEQUENCES,
            "context-tokens": self.context_tokens,
            "pass-tokens": PASS_TOKENS,
            "threads": settings.threads or choose_cores().number,
            "gpu-layers": settings.gpu_layers,
            "layers": shape.layers,
            "layer-bytes": layer_bytes(shape, self._cells, _KV_TYPE),
            "buffer-bytes": buffer_bytes(shape, self._cells, self._cells, SEQUENCES),
            "pooling": "rank" if self.ranks else settings.pooling,
        }
        flags = [part for name, value in numbers.items() for part in (f"--{name}", str(value))]
        return (
            *(sys.executable, "-m", "edge.engine.embedding.worker", "--fd", "{fd}"),
            *("--model", str(self.model.path)),
            *flags,
            *(("--safe",) if safe else ()),
        )

    @property
    def context_tokens(self) -> int:
        """Tokens that a text may have."""
        trained = self.model.context_tokens
        return self.settings.context_tokens or min(
            trained or CONTEXT_TOKENS_DEFAULT, CONTEXT_TOKENS_DEFAULT
        )

    @property
    def _cells(self) -> int:
        return max(self.context_tokens, PASS_TOKENS)

    @property
    def wants_bytes(self) -> int:
        """Memory of weights, cache and buffers."""
        return needs_bytes(
            self.model.shape,
            cache_tokens=self._cells,
            batch_tokens=self._cells,
            slots=SEQUENCES,
            kv_type=_KV_TYPE,
        )

    def lacks(self, free_bytes: int) -> str:
        """A sentence where so much free memory is not enough; else empty."""
        if self.wants_bytes <= free_bytes * (1 - SPARE_SHARE):
            return ""
        return (
            f"the model {self.model.name} needs {self.wants_bytes / 2**30:.1f} GiB of memory, and"
            f" {free_bytes / 2**30:.1f} GiB are free; try again later, or have the node's admin"
            " free some"
        )
