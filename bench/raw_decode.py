"""llama.cpp's own batched decode loop, as lean as it can be written: the measure for the engine.

A process of its own, because the library belongs to the engine's process alone. As in llama.cpp's
``llama-batched-bench`` nothing is sampled: the tokens are made up. They differ between sequences:
with the same ones in all of them attention takes half as long (the processor foresees its branches,
8 sequences of SmolLM2), which no real clients have. Reads lines of two kinds:

``steps SEQUENCES STEPS PROMPT_TOKENS`` is answered with the nanoseconds that so many decode steps
took, after the prompts. ``serve CLIENTS SHORTEST LONGEST PROMPT_TOKENS WARM_UP_S WINDOW_S`` is
answered with the tokens written a second for clients who ask for one answer after the other, of
such lengths, each behind a prompt that is read beside the others' tokens.
"""

from __future__ import annotations

import argparse
import ctypes
import random
import sys
import time
from collections.abc import Callable

import llama_cpp as api

SILENT = api.llama_log_callback(lambda _level, _text, _data: None)


class RawLoop:
    """One context and one batch over the same settings as the engine's."""

    def __init__(self, options: argparse.Namespace) -> None:
        api.llama_log_set(SILENT, ctypes.c_void_p(0))
        api.llama_backend_init()
        model_params = api.llama_model_default_params()
        model_params.use_extra_bufts = not options.safe
        model = api.llama_model_load_from_file(options.model.encode(), model_params)
        params = api.llama_context_default_params()
        params.n_ctx = options.context_tokens * options.slots
        params.n_batch, params.n_ubatch = 4_096, 512
        params.n_seq_max = options.slots
        params.n_threads = params.n_threads_batch = options.threads
        params.kv_unified = True
        params.no_perf = True
        context = api.llama_init_from_model(model, params) if model else None
        if context is None:
            raise SystemExit(f"llama.cpp cannot load {options.model}")
        self._context = context
        self._memory = api.llama_get_memory(context)
        self._batch = api.llama_batch_init(params.n_batch, 0, 1)
        size = api.llama_vocab_n_tokens(api.llama_model_get_vocab(model))
        self._tokens = random.Random(3).choices(range(size // 4, size), k=4_093)

    def _put(self, slot: int, position: int, *, wants_logits: bool = True) -> None:
        """One more token for the step that comes."""
        batch, at = self._batch, self._batch.n_tokens
        batch.token[at] = self._tokens[(slot * 101 + position) % len(self._tokens)]
        batch.pos[at] = position
        batch.n_seq_id[at] = 1
        batch.seq_id[at][0] = slot
        batch.logits[at] = wants_logits
        batch.n_tokens = at + 1

    def _put_prompt(self, slot: int, prompt_tokens: int) -> None:
        for position in range(prompt_tokens):
            self._put(slot, position, wants_logits=position == prompt_tokens - 1)

    def _step(self) -> None:
        if status := api.llama_decode(self._context, self._batch):
            raise SystemExit(f"llama.cpp refused a batch (code {status})")
        api.llama_synchronize(self._context)
        self._batch.n_tokens = 0

    def steps(self, sequences: int, steps: int, prompt_tokens: int) -> int:
        """Nanoseconds for the steps behind prompts of so many tokens."""
        api.llama_memory_clear(self._memory, False)
        for slot in range(sequences):
            self._put_prompt(slot, prompt_tokens)
            self._step()
        started_ns = time.perf_counter_ns()
        for step in range(steps):
            for slot in range(sequences):
                self._put(slot, prompt_tokens + step)
            self._step()
        return time.perf_counter_ns() - started_ns

    def serve(
        self, clients: int, shortest: int, longest: int, prompt_tokens: int,
        warm_up_s: int, window_s: int,
    ) -> float:  # fmt: skip
        """Tokens written a second. A prompt's step writes the first token of its answer."""
        api.llama_memory_clear(self._memory, False)
        lengths = random.Random(7)
        positions, ends = [0] * clients, [0] * clients
        written, start_s = 0, time.perf_counter() + warm_up_s
        while (now_s := time.perf_counter()) < start_s + window_s:
            for slot in range(clients):
                if positions[slot] == ends[slot]:
                    api.llama_memory_seq_rm(self._memory, slot, -1, -1)
                    self._put_prompt(slot, prompt_tokens)
                    positions[slot] = prompt_tokens
                    # As many steps as tokens: the last one is sampled and not read.
                    ends[slot] = prompt_tokens - 1 + lengths.randint(shortest, longest)
                else:
                    self._put(slot, positions[slot])
                    positions[slot] += 1
            self._step()
            written += clients * (now_s >= start_s)
        return written / (time.perf_counter() - start_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--context-tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--safe", action="store_true")
    loop = RawLoop(parser.parse_args())
    for line in sys.stdin:
        kind, *numbers = line.split()
        measure: Callable[..., float] = loop.steps if kind == "steps" else loop.serve
        sys.stdout.write(f"{measure(*map(int, numbers))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
