"""Runs llama.cpp on one GGUF in a process of its own: JSON jobs in, JSON results out.

    echo '{"model": "models/elwift-tiny.gguf", "jobs": [...]}' | python -m models.train.llama_worker

llama.cpp can die by a signal on some processors, which no `try` catches: whoever needs a result
calls `ask`, which starts this module as a child and raises an ordinary error when it dies.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

CONTEXT = 512
REPOSITORY = Path(__file__).resolve().parents[2]
LLAMA_TIMEOUT_SECONDS = 600


def ask(model: Path, jobs: list[dict[str, Any]]) -> list[Any]:
    """Return the results of the jobs, computed by llama.cpp in a child process."""
    request = json.dumps({"model": str(model.resolve()), "jobs": jobs})
    child = subprocess.run(
        [sys.executable, "-m", "models.train.llama_worker"],
        input=request,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=LLAMA_TIMEOUT_SECONDS,
        check=False,
    )
    if child.returncode != 0:
        raise RuntimeError(
            f"llama.cpp ended with {child.returncode} on {model}: {child.stderr[-2000:]}"
        )
    results: list[Any] = json.loads(child.stdout)
    return results


class Worker:
    """One loaded model; each method is a job."""

    def __init__(self, path: str) -> None:
        # Typed loosely: its functions are ctypes objects.
        self.c: Any = importlib.import_module("llama_cpp.llama_cpp")
        self.c.llama_backend_init()
        parameters = self.c.llama_model_default_params()
        # Matrix tiles are lost on some virtual machines, and the process with them.
        parameters.use_extra_bufts = False
        self.model = self.c.llama_model_load_from_file(path.encode(), parameters)
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {path}.")
        self.vocabulary = self.c.llama_model_get_vocab(self.model)
        self.size = self.c.llama_vocab_n_tokens(self.vocabulary)
        context = self.c.llama_context_default_params()
        context.n_ctx = CONTEXT
        context.n_batch = CONTEXT
        context.n_threads = context.n_threads_batch = 2
        self.context = self.c.llama_init_from_model(self.model, context)

    def tokenise(self, text: str) -> list[int]:
        """Return the ids of a text; control tokens written out in it are recognised."""
        data = text.encode()
        room = len(data) + 8
        ids = (self.c.llama_token * room)()
        count = self.c.llama_tokenize(self.vocabulary, data, len(data), ids, room, False, True)
        return [int(token) for token in ids[:count]]

    def bytes_of(self, tokens: list[int]) -> bytes:
        """Return the bytes that the tokens stand for, control tokens written out."""
        room = ctypes.create_string_buffer(256)
        parts = []
        for token in tokens:
            length = self.c.llama_token_to_piece(self.vocabulary, token, room, 256, 0, True)
            parts.append(room.raw[:length])
        return b"".join(parts)

    def round_trip(self, text: str) -> dict[str, Any]:
        """Return the ids of a text, and its bytes (in hex) put together again from them."""
        tokens = self.tokenise(text)
        return {"tokens": tokens, "bytes": self.bytes_of(tokens).hex()}

    def metadata(self, key: str) -> str:
        """Return a text value of the file's metadata."""
        room = ctypes.create_string_buffer(1 << 16)
        length = self.c.llama_model_meta_val_str(self.model, key.encode(), room, len(room))
        return room.raw[: max(length, 0)].decode()

    def score(self, tokens: list[int], prefix_length: int) -> list[float]:
        """Return the log-probability of every token after the prefix."""
        self._decode(tokens[:-1], 0, all_logits=True)
        scores = []
        for i in range(prefix_length - 1, len(tokens) - 1):
            logits = self.c.llama_get_logits_ith(self.context, i)[: self.size]
            top = max(logits)
            total = math.fsum(math.exp(value - top) for value in logits)
            scores.append(logits[tokens[i + 1]] - top - math.log(total))
        return scores

    def greedy(self, prompt: list[int], count: int) -> dict[str, Any]:
        """Return `count` most likely tokens, each with its lead over the second."""
        tokens: list[int] = []
        margins = []
        self._decode(prompt, 0)
        for _ in range(count):
            logits = self.c.llama_get_logits_ith(self.context, -1)[: self.size]
            first, second = sorted(range(self.size), key=logits.__getitem__)[-1:-3:-1]
            tokens.append(first)
            margins.append(logits[first] - logits[second])
            self._decode([first], len(prompt) + len(tokens) - 1)
        return {"tokens": tokens, "margins": margins}

    def sample(self, prompt: str, seed: int, temperature: float, count: int) -> dict[str, Any]:
        """Return an answer of at most `count` tokens, and whether it ended by itself."""
        chain = self.c.llama_sampler_chain_init(self.c.llama_sampler_chain_default_params())
        self.c.llama_sampler_chain_add(chain, self.c.llama_sampler_init_temp(temperature))
        self.c.llama_sampler_chain_add(chain, self.c.llama_sampler_init_dist(seed))
        before = self.tokenise(prompt)
        self._decode(before, 0)
        tokens: list[int] = []
        ended = False
        while len(tokens) < count:
            token = self.c.llama_sampler_sample(chain, self.context, -1)
            ended = bool(self.c.llama_vocab_is_eog(self.vocabulary, token))
            if ended:
                break
            tokens.append(int(token))
            self._decode([token], len(before) + len(tokens) - 1)
        self.c.llama_sampler_free(chain)
        text = self.bytes_of(tokens).decode(errors="replace")
        return {"text": text, "tokens": len(tokens), "ended": ended}

    def _decode(self, tokens: list[int], position: int, *, all_logits: bool = False) -> None:
        if position == 0:
            self.c.llama_memory_clear(self.c.llama_get_memory(self.context), True)
        batch = self.c.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i] = token
            batch.pos[i] = position + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = all_logits or i == len(tokens) - 1
        result = self.c.llama_decode(self.context, batch)
        self.c.llama_batch_free(batch)
        if result != 0:
            raise SystemExit(f"llama.cpp could not decode: it returned {result}.")


def main() -> None:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    worker = Worker(request["model"])
    results = []
    for job in request["jobs"]:
        arguments = dict(job)
        method = getattr(worker, arguments.pop("do"))
        results.append(method(**arguments))
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
