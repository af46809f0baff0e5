"""A model of embeddings and its context, as far as the engine needs them, with types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import llama_cpp as api
import numpy as np
from numpy.typing import NDArray

from edge.engine.llama import FLASH_ATTN, Limits, describe, last_words, load_model, raise_for
from edge.engine.pulse import Pulse
from edge.engine.vocabulary import Vocabulary
from edge.errors import ModelError

BY_FILE: Final = "auto"
POOLINGS: Final = {
    BY_FILE: api.LLAMA_POOLING_TYPE_UNSPECIFIED,
    "mean": api.LLAMA_POOLING_TYPE_MEAN,
    "cls": api.LLAMA_POOLING_TYPE_CLS,
    "last": api.LLAMA_POOLING_TYPE_LAST,
    "rank": api.LLAMA_POOLING_TYPE_RANK,
}
CONTEXT_TOKENS_DEFAULT: Final = 512
RERANK_TEMPLATE: Final = b"rerank"


class Encoder:
    """A loaded model that reads ``limits.slots`` texts in a pass, of ``limits.batch_tokens`` tokens
    together or of one text that is as long as ``context_tokens``.

    A text is in one pass from its first token to its last: an encoder's tokens look both ways, and
    what is pooled is pooled within a pass.
    """

    def __init__(self, path: Path, limits: Limits, pooling: str) -> None:
        """ModelError when llama.cpp cannot have vectors of it; ``pooling`` is one of `POOLINGS`."""
        model, _ = load_model(path, limits)
        self._model = model
        if api.llama_model_has_encoder(model) and api.llama_model_has_decoder(model):
            raise ModelError(f"{path} has an encoder and a decoder, which is not run here")
        trained = int(api.llama_model_n_ctx_train(model))
        self.context_tokens = limits.context_tokens or trained or CONTEXT_TOKENS_DEFAULT
        params = api.llama_context_default_params()
        params.n_ctx = max(self.context_tokens, limits.batch_tokens)
        params.n_batch = params.n_ubatch = params.n_ctx
        params.n_seq_max = limits.slots
        params.n_threads = params.n_threads_batch = limits.threads
        params.embeddings = True
        params.pooling_type = POOLINGS[pooling]
        params.kv_unified = True
        params.flash_attn_type = FLASH_ATTN[limits.flash_attn]
        params.no_perf = True
        context = api.llama_init_from_model(model, params)
        if not context:
            raise ModelError(
                f"llama.cpp cannot give texts of {self.context_tokens} tokens: {last_words()};"
                " where memory lacks, set embeddings.context_tokens to less"
            )
        self._context = context
        self._memory = api.llama_get_memory(context)  # none where tokens look both ways
        names = {number: name for name, number in POOLINGS.items()}
        self.pooling = names.get(int(api.llama_pooling_type(context)), "none")
        if self.pooling not in ("mean", "cls", "last", "rank"):
            raise ModelError(
                f"{path} does not say how a vector is made of its tokens: it was made to write"
                " texts. Choose a model made for embeddings, or say how with embeddings.pooling"
            )
        self.ranks = self.pooling == "rank"
        self._numbers = int(
            api.llama_model_n_cls_out(model) if self.ranks else api.llama_model_n_embd_out(model)
        )
        self.dimensions = 1 if self.ranks else self._numbers
        self.vocabulary = Vocabulary(api.llama_model_get_vocab(model))
        self._batch = api.llama_batch_init(params.n_batch, 0, 1)

    @property
    def parameters(self) -> int:
        return int(api.llama_model_n_params(self._model))

    @property
    def size_bytes(self) -> int:
        return int(api.llama_model_size(self._model))

    @property
    def description(self) -> str:
        return describe(self._model)

    @property
    def rerank_template(self) -> str | None:
        """How the model wants to have a query and a document, where it is not the usual way."""
        template = api.llama_model_chat_template(self._model, RERANK_TEMPLATE)
        return template.decode("utf-8", "replace") if template else None

    def watch(self, pulse: Pulse) -> None:
        """From now on the passes beat this pulse, and end when it says so."""
        function = pulse.function(api.ggml_abort_callback)
        if function is not None:
            self._pulse = pulse  # llama.cpp holds its address
            api.llama_set_abort_callback(self._context, function, pulse.data)

    def use_threads(self, number: int) -> None:
        """From the next pass on. At most as many as in `Limits`."""
        api.llama_set_n_threads(self._context, number, number)

    def encode(self, texts: Sequence[tuple[int, ...]]) -> NDArray[np.float32]:
        """A row for each of these tokens' texts, in one pass: ``[texts, dimensions]``. Rows have
        length one, but for those of a model that ranks. What the model makes of a text need not be
        numbers. Raises as `raise_for` says."""
        batch, count = self._batch, 0
        for sequence, tokens in enumerate(texts):
            for position, token in enumerate(tokens):
                batch.token[count] = token
                batch.pos[count] = position
                batch.n_seq_id[count] = 1
                batch.seq_id[count][0] = sequence
                batch.logits[count] = True
                count += 1
        batch.n_tokens = count
        if self._memory:
            api.llama_memory_clear(self._memory, False)
        raise_for(api.llama_decode(self._context, batch))
        rows = np.empty((len(texts), self.dimensions), np.float32)
        for sequence in range(len(texts)):
            pointer = api.llama_get_embeddings_seq(self._context, sequence)
            assert pointer, "each sequence of a pass is pooled"
            rows[sequence] = np.ctypeslib.as_array(pointer, (self._numbers,))[: self.dimensions]
        if self.ranks:
            # A single number may be any, and is as likely as the logistic function says; of several
            # classes llama.cpp gives their shares.
            if self._numbers == 1:
                rows[:] = 1 / (1 + np.exp(-rows))
            return rows
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        np.divide(rows, lengths, out=rows, where=lengths > 0)
        return rows
