"""llama.cpp's own batched decode loop, as lean as it can be written: the measure for the engine.

A process of its own, because the library belongs to the engine's process alone. Reads lines
``SEQUENCES STEPS PROMPT_TOKENS`` and answers each with the nanoseconds that so many decode steps
took, after the prompts. As in llama.cpp's ``llama-batched-bench`` nothing is sampled: the tokens
are made up.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time

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
        params.n_batch = params.n_ubatch = max(512, options.slots)
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

    def _decode(self, sequences: int, position: int, token: int) -> None:
        """One token for each of the sequences."""
        batch = self._batch
        for slot in range(sequences):
            batch.token[slot] = token
            batch.pos[slot] = position
            batch.n_seq_id[slot] = 1
            batch.seq_id[slot][0] = slot
            batch.logits[slot] = True
        batch.n_tokens = sequences
        if api.llama_decode(self._context, batch) != 0:
            raise SystemExit("llama.cpp refused a batch")
        api.llama_synchronize(self._context)

    def run(self, sequences: int, steps: int, prompt_tokens: int) -> int:
        """Nanoseconds for the steps behind prompts of so many tokens."""
        api.llama_memory_clear(self._memory, False)
        for position in range(prompt_tokens):
            self._decode(sequences, position, position % 200)
        started_ns = time.perf_counter_ns()
        for step in range(steps):
            self._decode(sequences, prompt_tokens + step, step % 200)
        return time.perf_counter_ns() - started_ns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--context-tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--safe", action="store_true")
    loop = RawLoop(parser.parse_args())
    for line in sys.stdin:
        sequences, steps, prompt_tokens = map(int, line.split())
        sys.stdout.write(f"{loop.run(sequences, steps, prompt_tokens)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
