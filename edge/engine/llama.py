"""llama.cpp, as far as the engine needs it, with types.

The only other modules that know `llama_cpp` are `vocabulary`, `sampling`, `candidates`, `dry` and
`devices`.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import llama_cpp as api
import numpy as np
from numpy.typing import NDArray

from edge.engine.batching.draft import ROWS_MAX
from edge.engine.candidates import Candidates
from edge.engine.devices import UNKNOWN, Layers, devices, layers_on_gpu
from edge.engine.dry import DrySamplers
from edge.engine.pulse import Pulse
from edge.engine.vocabulary import Vocabulary, composed_in
from edge.errors import EngineError, ModelError

CONTEXT_TOKENS_DEFAULT: Final = 4_096
LOG_LINES: Final = 20

_log: deque[str] = deque(maxlen=LOG_LINES)


def _collect_line(_level: int, text: bytes, _data: Any) -> None:
    _log.append(text.decode("utf-8", "replace").strip())


# Kept here because llama.cpp calls it for as long as the process lives.
_collect = api.llama_log_callback(_collect_line)


class CacheFull(EngineError):
    """`llama_decode` found no room in the cache for this batch; nothing has changed."""

    def __init__(self) -> None:
        super().__init__("llama.cpp has no room in its cache for this step; try again")


class Stopped(EngineError):
    """The step was ended on request (`Pulse.stop`); in this step nothing was read."""

    def __init__(self) -> None:
        super().__init__("this step was ended before its time")


class DecodeFailed(EngineError):
    """`llama_decode` refused this batch; the caches of its sequences are in an unknown state."""

    def __init__(self, status: int) -> None:
        super().__init__(f"llama.cpp could not make this step (code {status}); try again")


class BackendBroken(EngineError):
    """The backend of llama.cpp failed, and fails from now on: this process can do no more."""

    def __init__(self, status: int) -> None:
        super().__init__(f"llama.cpp's backend is broken (code {status}); the engine starts anew")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much room a model gets. ``context_tokens`` is for one sequence, 0 the default;
    ``cache_tokens`` for all of them, 0 for as many as they can have. Below 0, ``gpu_layers`` follow
    from the memory of graphics processors and from what ``layers`` need there."""

    slots: int
    context_tokens: int
    cache_tokens: int
    batch_tokens: int
    threads: int
    gpu_layers: int
    safe: bool
    kv_type: str = "f16"
    flash_attn: str = "auto"
    mmap: bool = True
    mlock: bool = False
    layers: Layers = UNKNOWN


KV_TYPES: Final = {
    "f16": api.GGML_TYPE_F16, "q8_0": api.GGML_TYPE_Q8_0, "q4_0": api.GGML_TYPE_Q4_0,
}  # fmt: skip
FLASH_ATTN: Final = {
    "auto": api.LLAMA_FLASH_ATTN_TYPE_AUTO, "on": api.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": api.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}  # fmt: skip
_LOAD_MODES: Final = {  # by mmap and mlock
    (False, False): api.LLAMA_LOAD_MODE_NONE, (True, False): api.LLAMA_LOAD_MODE_MMAP,
    (False, True): api.LLAMA_LOAD_MODE_MLOCK, (True, True): api.LLAMA_LOAD_MODE_MMAP_MLOCK,
}  # fmt: skip


def check_file(path: Path) -> None:
    """ModelError unless the file is there and begins like a GGUF."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror}") from error
    if magic != b"GGUF":
        raise ModelError(f"{path} is not a GGUF file")


def load_model(
    path: Path, limits: Limits, on_progress: Callable[[int], object] | None = None
) -> tuple[Any, int]:
    """llama.cpp's model, and how many of its layers are on graphics processors at most.
    `ModelError` when it cannot be loaded. For `on_progress` see `Llama`."""
    check_file(path)
    api.llama_log_set(_collect, ctypes.c_void_p(0))
    api.llama_backend_init()
    params = api.llama_model_default_params()
    gpu_layers = limits.gpu_layers
    if gpu_layers < 0:
        gpu_layers = layers_on_gpu(devices(), limits.layers)
    params.n_gpu_layers = gpu_layers
    params.use_extra_bufts = not limits.safe
    params.load_mode = _LOAD_MODES[limits.mmap, limits.mlock]
    progress = _progress_callback(on_progress) if on_progress is not None else None
    if progress is not None:
        params.progress_callback = progress
    # `progress` is held until the model is there: ctypes frees what nobody holds.
    model = api.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        raise ModelError(f"llama.cpp cannot load {path}: {last_words()}")
    return model, gpu_layers


def describe(model: Any) -> str:
    """What llama.cpp calls a model of this kind and size."""
    buffer = ctypes.create_string_buffer(256)
    api.llama_model_desc(model, buffer, len(buffer))
    return buffer.value.decode("utf-8", "replace")


def raise_for(status: int) -> None:
    """What `llama_decode` has said: CacheFull, Stopped, DecodeFailed or BackendBroken; nothing
    for 0."""
    if status == 1:
        raise CacheFull
    if status == 2:
        raise Stopped
    if status < -1:
        raise BackendBroken(status)
    if status:
        raise DecodeFailed(status)


def _check_generates(model: Any, path: Path) -> None:
    """ModelError for what its file's header did not give away. No pooling is looked at: a context
    has one only where the model's file names it."""
    if api.llama_model_has_encoder(model) or not api.llama_model_has_decoder(model):
        raise ModelError(f"{path} needs an encoder, which is not run here; choose another model")
    if api.llama_model_is_diffusion(model):
        raise ModelError(f"{path} is a diffusion model, which is not run here; choose another")


def _progress_callback(tell: Callable[[int], object]) -> Any:
    """For `llama_model_params.progress_callback`, which is given a share from 0 to 1, and goes on
    as long as it returns True."""
    told = -1

    def called(share: float, _data: object) -> bool:
        nonlocal told
        percent = int(share * 100)
        if percent > told:
            told = percent
            tell(percent)
        return True

    return api.llama_progress_callback(called)


class Llama:
    """A loaded model and its context: one cache for ``slots`` sequences of ``context_tokens``.

    The cache is one for all sequences (``kv_unified``). With a stream for each, llama.cpp puts only
    sequences into one pass whose slots follow each other in the batch's order; where sequences come
    and go that soon makes half as many passes as there are sequences. In one cache a step is one
    pass, whatever the slots, and what sequences share is there once.
    """

    def __init__(
        self, path: Path, limits: Limits, on_progress: Callable[[int], object] | None = None
    ) -> None:
        """`on_progress` is told, on this thread, how much of the file has been read, of a
        hundred: each number once."""
        model, self.gpu_layers = load_model(path, limits, on_progress)
        self._model = model
        _check_generates(model, path)
        trained = int(api.llama_model_n_ctx_train(model))
        if limits.context_tokens > trained > 0:
            # The node asks for no such thing of a model whose file says what it was trained with.
            raise ModelError(
                f"{path} was trained with a context of {trained} tokens, and more are asked for:"
                f" {limits.context_tokens}; choose fewer with --context"
            )
        self.context_tokens = limits.context_tokens or min(
            CONTEXT_TOKENS_DEFAULT, trained or CONTEXT_TOKENS_DEFAULT
        )
        params = api.llama_context_default_params()
        whole = self.context_tokens * limits.slots
        params.n_ctx = max(self.context_tokens, min(whole, limits.cache_tokens or whole))
        params.n_batch = max(limits.batch_tokens, limits.slots)
        params.n_ubatch = params.n_batch
        params.n_seq_max = limits.slots
        # One row of logits for each sequence, where the default has one for each token of a batch.
        params.n_outputs_max = max(limits.slots, ROWS_MAX)
        params.n_threads = params.n_threads_batch = limits.threads
        params.kv_unified = True
        # Layers with a sliding window keep all, as the others do. With no more than their window
        # kept, a prompt's beginning could not be taken over once a text has gone beyond it.
        params.swa_full = True
        params.type_k = params.type_v = KV_TYPES[limits.kv_type]
        params.flash_attn_type = FLASH_ATTN[limits.flash_attn]
        params.no_perf = True
        context = api.llama_init_from_model(model, params)
        if not context:
            raise ModelError(
                f"llama.cpp cannot give {limits.slots} slots of {self.context_tokens} tokens:"
                f" {last_words()}; where memory lacks, choose fewer with --slots or --context"
            )
        self._context = context
        self._memory = api.llama_get_memory(context)
        self.vocabulary = Vocabulary(api.llama_model_get_vocab(model), composed=composed_in(model))
        self._batch = api.llama_batch_init(params.n_batch, 0, 1)

    # ---- facts

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
    def chat_template(self) -> str | None:
        """The model's Jinja template, if it has one."""
        template = api.llama_model_chat_template(self._model, None)
        return template.decode("utf-8", "replace") if template else None

    # ---- the cache and the step

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Makes a slot's cache the first tokens of another's. They share the room."""
        api.llama_memory_seq_rm(self._memory, target, -1, -1)
        api.llama_memory_seq_cp(self._memory, source, target, 0, tokens)

    def state_size_bytes(self, slot: int) -> int:
        """How long `state` would be."""
        return int(api.llama_state_seq_get_size_ext(self._context, slot, 0))

    def state(self, slot: int) -> bytes:
        """A slot's cache in llama.cpp's own form; empty when it can't be had."""
        size_bytes = self.state_size_bytes(slot)
        buffer = bytearray(size_bytes)
        room = (ctypes.c_uint8 * size_bytes).from_buffer(buffer)
        written = api.llama_state_seq_get_data_ext(self._context, room, size_bytes, slot, 0)
        return bytes(buffer) if written == size_bytes else b""

    def restore(self, slot: int, state: bytes) -> bool:
        """Makes a slot's cache what `state` gave; False when there is no room for it, and then it
        is empty."""
        api.llama_memory_seq_rm(self._memory, slot, -1, -1)
        data = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        if api.llama_state_seq_set_data_ext(self._context, data, len(state), slot, 0):
            return True
        api.llama_memory_seq_rm(self._memory, slot, -1, -1)
        return False

    def trim(self, slot: int, keep: int) -> bool:
        """Keeps the first tokens of a slot's cache; False when this model's cache cannot be cut,
        and then it is empty."""
        if api.llama_memory_seq_rm(self._memory, slot, keep, -1):
            return True
        api.llama_memory_seq_rm(self._memory, slot, -1, -1)
        return False

    def watch(self, pulse: Pulse) -> None:
        """From now on the steps beat this pulse, and end when it says so."""
        function = pulse.function(api.ggml_abort_callback)
        if function is not None:
            self._pulse = pulse  # llama.cpp holds its address
            api.llama_set_abort_callback(self._context, function, pulse.data)

    def use_threads(self, number: int) -> None:
        """From the next step on. At most as many as in `Limits`."""
        api.llama_set_n_threads(self._context, number, number)

    def decode(self, tokens: Iterable[tuple[int, int, int, bool]]) -> None:
        """One step over (token, position, slot, wants logits). CacheFull when there is no room for
        it, Stopped when its pulse was, DecodeFailed when it is refused, BackendBroken when nothing
        goes any more."""
        batch = self._batch
        count = 0
        for token, position, slot, wants_logits in tokens:
            batch.token[count] = token
            batch.pos[count] = position
            batch.n_seq_id[count] = 1
            batch.seq_id[count][0] = slot
            batch.logits[count] = wants_logits
            count += 1
        batch.n_tokens = count
        raise_for(api.llama_decode(self._context, batch))

    def sample(self, sampler: Any, index: int) -> int:
        """The next token by this chain, from the logits of the step's token number `index`."""
        return int(api.llama_sampler_sample(sampler, self._context, index))

    def logits(self, index: int) -> NDArray[np.float32]:
        """Those of the step's token number `index`, one for each token of the vocabulary; llama.cpp
        writes over them in the next step."""
        pointer = api.llama_get_logits_ith(self._context, index)
        return np.ctypeslib.as_array(pointer, (self.vocabulary.size,))

    @cached_property
    def dry(self) -> DrySamplers:
        """Where a chain gets its DRY from."""
        return DrySamplers(self.vocabulary.pointer)

    @cached_property
    def candidates(self) -> Candidates:
        """Room to sample in, for one at a time."""
        return Candidates(self.vocabulary.size)


def last_words() -> str:
    """The last that llama.cpp has said."""
    said = [line for line in _log if line and line != "."]
    return said[-1] if said else "no reason given"
