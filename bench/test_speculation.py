"""What guessing what comes next is worth: seconds of the same answer with and without it.

A prompt whose answer repeats most of it (an edit), and one whose answer does not (a story), by a
real model. Both engines run in turns, and each counts with its best turn. The first has to gain;
the second must lose next to nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Final

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.test_engine import NO_GUESSES, THREADS, Engine
from edge.conversation import Message
from edge.engine.messages import Generate, Sampling, Step, encode
from tests.support.smollm2 import smollm2

CODE: Final = """def area(width, height):
    if width < 0 or height < 0:
        raise ValueError("a side cannot be negative")
    return width * height

def volume(width, height, depth):
    if depth < 0:
        raise ValueError("a depth cannot be negative")
    return area(width, height) * depth
"""
PROMPTS: Final = {
    "edit": f"Repeat this program exactly, without a word of your own:\n{CODE}",
    "story": "Write a story about a brave little fox.",
}
TOKENS: Final = 120


FLAGS: Final = ("--slots", "1", "--context-tokens", "2048", "--threads", str(THREADS))


class Answering(Engine):
    """A worker with one slot."""

    def answer(self, prompt: str) -> tuple[float, int, int, tuple[int, ...]]:
        """Seconds from the first token to the last, steps, rows in them, and the tokens."""
        self.key += 1
        sampling = Sampling(max_tokens=TOKENS, temperature=0, ignore_eos=True)
        self.send(encode(Generate(self.key, None, (Message("user", prompt),), sampling)))
        began = 0.0
        steps = rows = 0
        tokens: list[int] = []
        while True:
            message = self.next()
            if not isinstance(message, Step):
                continue
            for output in message.outputs:
                tokens += output.tokens
            if began and message.outputs:
                steps += 1
                rows += message.batch_tokens
            if tokens and not began:
                began = time.perf_counter()
            if message.finished:
                return time.perf_counter() - began, steps, rows, tuple(tokens)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Answering, Answering]]:
    model = smollm2()
    engines = Answering(model, *FLAGS), Answering(model, *FLAGS, *NO_GUESSES)
    yield engines
    for engine in engines:
        engine.close()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", PROMPTS)
def test_an_answer(
    benchmark: BenchmarkFixture, pair: tuple[Answering, Answering], kind: str
) -> None:
    with_guesses, without = pair
    seen: dict[str, list[tuple[float, int, int, tuple[int, ...]]]] = {"with": [], "without": []}

    def turn() -> None:
        seen["with"].append(with_guesses.answer(PROMPTS[kind]))
        seen["without"].append(without.answer(PROMPTS[kind]))

    benchmark.pedantic(turn, rounds=3)  # type: ignore[no-untyped-call]  # the plugin's own gap
    best, plain = min(seen["with"]), min(seen["without"])
    same = sum(one == other for one, other in zip(best[3], plain[3], strict=True))
    said = {
        "speed_up": round(plain[0] / best[0], 3),
        "steps": f"{best[1]} for {plain[1]}",
        "rows": best[2],
        # Logits of another batch shape differ by hundredths: a near tie may fall otherwise.
        "same_tokens": f"{same} of {TOKENS}",
    }
    benchmark.extra_info.update(said)
    sys.stderr.write(f"\n{kind}: {said}")
    assert len(best[3]) == len(plain[3]) == TOKENS
