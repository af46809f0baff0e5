"""Clients that come and go: the engine's tokens a second, beside those of a raw loop.

Each client asks for one answer after the other, under a prompt of its own. Where all answers are
equally long, steps are as full as they can be; where they are from 16 to 128 tokens long, there is
always one that begins while the others go on, and its prompt is read beside them. The raw loop has
the same to do: as many clients, answers of such lengths, prompts as long, read in the same way
(``ratio``). It runs before and after the engine, and what counts is its mean. ``of_full_steps`` is
the engine's rate by that of a raw loop that reads no prompts at all, and ``read`` tells how many
tokens of prompts the engine has read beside each that it wrote.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.test_engine import NO_GUESSES, SHARED, Engine, Raw
from edge.engine.messages import Admitted, Generate, Rejected, Sampling, Step, encode
from tests.support.smollm2 import smollm2

WARM_UP_S = 2
WINDOW_S = 6
RAW_STEPS = 20
LENGTHS = {"equal": (64, 64), "coming and going": (16, 128)}
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa")

KEYS = itertools.count(1)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Engine, Raw]]:
    model = smollm2()
    engine, raw = Engine(model, *SHARED, *NO_GUESSES), Raw(model)
    yield engine, raw
    engine.close()
    raw.close()


class Clients:
    """So many of them, each of whom asks again when it has its answer."""

    def __init__(self, engine: Engine, lengths: tuple[int, int], keys: Iterator[int]) -> None:
        """No key is used twice, so that no prompt is in the cache already."""
        self._engine = engine
        self._lengths = lengths
        self._keys = keys
        self._random = random.Random(7)
        self._running: set[int] = set()

    def ask(self) -> None:
        key = next(self._keys)
        prompt = " ".join([str(key), *self._random.choices(WORDS, k=20)])
        length = self._random.randint(*self._lengths)
        sampling = Sampling(length, temperature=0.8, seed=key, ignore_eos=True)
        self._running.add(key)
        self._engine.send(encode(Generate(key, prompt, None, sampling)))

    def run(self, clients: int, warm_up_s: int, window_s: int) -> tuple[float, float, int]:
        """Tokens written a second in the window, tokens of prompts read for each of them, and how
        many tokens a prompt has."""
        for _ in range(clients):
            self.ask()
        start_s = time.perf_counter() + warm_up_s
        written = read = prompt_tokens = 0
        while time.perf_counter() < start_s + window_s:
            step = self._step()
            prompt_tokens = max([prompt_tokens, *(each.prompt_tokens for each in step.admitted)])
            if time.perf_counter() >= start_s:
                written += sum(len(each.tokens) for each in step.outputs)
                read += sum(map(_unread, step.admitted))
            for _ in step.finished:
                self.ask()
        rate = written / (time.perf_counter() - start_s)
        while self._running:
            self._step()
        return rate, read / written, prompt_tokens

    def _step(self) -> Step:
        while True:
            message = self._engine.next()
            assert not isinstance(message, Rejected), message
            if isinstance(message, Step):
                self._running.difference_update(each.key for each in message.finished)
                return message


def _unread(admitted: Admitted) -> int:
    return admitted.prompt_tokens - admitted.cached_tokens


@pytest.mark.timeout(400)
@pytest.mark.parametrize("clients", [1, 4, 8, 16, 32])
@pytest.mark.parametrize("shape", LENGTHS)
def test_clients(
    benchmark: BenchmarkFixture, pair: tuple[Engine, Raw], shape: str, clients: int
) -> None:
    engine, raw = pair
    lengths = LENGTHS[shape]

    def turn() -> dict[str, float]:
        # To know how long prompts are; in the vocabulary's own tokens.
        _, _, prompt_tokens = Clients(engine, (1, 1), KEYS).run(1, 0, 1)
        bare = [raw.serve(clients, lengths, prompt_tokens, WARM_UP_S, WINDOW_S)]
        rate, read, _ = Clients(engine, lengths, KEYS).run(clients, WARM_UP_S, WINDOW_S)
        bare.append(raw.serve(clients, lengths, prompt_tokens, WARM_UP_S, WINDOW_S))
        # In the middle of an answer of mean length.
        behind = prompt_tokens + (sum(lengths) // 2 - RAW_STEPS) // 2
        full = clients * RAW_STEPS * 1e9 / min(raw.run(clients, RAW_STEPS, behind) for _ in "ab")
        return {
            "raw_tokens_s": round(sum(bare) / 2, 1),
            "engine_tokens_s": round(rate, 1),
            "ratio": round(2 * rate / sum(bare), 3),
            "of_full_steps": round(rate / full, 3),
            "read": round(read, 2),
        }

    rates = benchmark.pedantic(turn, rounds=1)  # type: ignore[no-untyped-call]  # no types
    benchmark.extra_info.update(rates)
    sys.stderr.write(f"\n{clients} clients, {shape}: {rates}")
