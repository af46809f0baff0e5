"""Generated tokens a second: the engine process against llama.cpp's own batched decode loop.

Both run the same library, model, context and threads, in turns, so that a busy machine slows both.
The engine samples (greedily), detokenises and sends a message for every step; the raw loop only
decodes. Each side counts with its best turn, the one that other work on the machine disturbed
least. ``in_decode`` is the share of the engine's time that it spends in ``llama_decode``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from edge.engine.messages import (
    FrameReader,
    Generate,
    LoadFailed,
    Loading,
    Message,
    Ready,
    Rejected,
    Sampling,
    Step,
    encode,
)
from tests.support.random_gguf import write_random_gguf

SLOTS = 32
CONTEXT_TOKENS = 256
PROMPT = "abcdefgh"
THREADS = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
# The safe setting on both sides: it runs on every machine, and the ratio is what counts.
SHARED = ("--slots", str(SLOTS), "--context-tokens", str(CONTEXT_TOKENS), "--threads", str(THREADS))

# A guess would make other steps than the raw loop has.
NO_GUESSES = ("--no-speculation",)


class Engine:
    """The real worker, driven over its socket without a node. Its last request has the ``key``."""

    def __init__(self, model: Path, *flags: str) -> None:
        self._pipe, theirs = socket.socketpair()
        self._pipe.settimeout(120)
        with theirs:
            fd = theirs.fileno()
            command = [sys.executable, "-m", "edge.engine.worker", "--fd", str(fd), "--safe"]
            self.process = subprocess.Popen(
                [*command, "--model", str(model), *flags], pass_fds=[fd]
            )
        self._frames = FrameReader()
        self._unread: list[Message] = []
        self.key = 0
        while isinstance(message := self.next(), Loading):
            pass
        assert isinstance(message, Ready)

    def send(self, frames: bytes) -> None:
        """Encoded messages."""
        self._pipe.sendall(frames)

    def next(self) -> Message:
        """What it says next."""
        while not self._unread:
            data = self._pipe.recv(1 << 16)
            assert data, "the engine is gone"
            self._unread = self._frames.feed(data)
        return self._unread.pop(0)

    def run(self, sequences: int, steps: int) -> tuple[int, float]:
        """Nanoseconds for `steps` steps in which all the sequences generate, and the share of it
        that was ``llama_decode``."""
        sampling = Sampling(max_tokens=steps + 1, temperature=0, ignore_eos=True)
        frames = b""
        for _ in range(sequences):
            self.key += 1
            # Prompts that differ at once: nothing of them is shared.
            frames += encode(Generate(self.key, f"{self.key}{PROMPT}", None, sampling))
        self.send(frames)
        started_ns = ended_ns = decode_us = full_steps = finished = 0
        while finished < sequences:
            message = self.next()
            assert not isinstance(message, LoadFailed | Rejected), message
            if not isinstance(message, Step):
                continue
            finished += len(message.finished)
            if message.batch_tokens == len(message.outputs) == sequences:
                ended_ns = time.perf_counter_ns()
                if started_ns:
                    decode_us += message.decode_us
                    full_steps += 1
                else:
                    # The first full step only starts the watch.
                    started_ns = ended_ns
        assert full_steps > steps // 2
        took_ns = ended_ns - started_ns
        return took_ns * steps // full_steps, decode_us * 1_000 / took_ns

    def close(self) -> None:
        self._pipe.close()
        assert self.process.wait(20) == 0


class Raw:
    """`bench.raw_decode` in its own process."""

    def __init__(self, model: Path, *flags: str, safe: bool = True) -> None:
        """`flags` come after the shared ones, and count."""
        command = [sys.executable, "-m", "bench.raw_decode", "--model", str(model)]
        if safe:
            command.append("--safe")
        self._process = subprocess.Popen(
            [*command, *SHARED, *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, sequences: int, steps: int, prompt_tokens: int = len(PROMPT) + 2) -> int:
        """Nanoseconds for these steps."""
        return int(self._ask("steps", sequences, steps, prompt_tokens))

    def serve(
        self, clients: int, lengths: tuple[int, int], prompt_tokens: int,
        warm_up_s: int, window_s: int,
    ) -> float:  # fmt: skip
        """Tokens written a second for clients who come and go."""
        return float(self._ask("serve", clients, *lengths, prompt_tokens, warm_up_s, window_s))

    def _ask(self, kind: str, *numbers: int) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, (kind, *numbers))) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def close(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0


@pytest.fixture(scope="module", params=["tiny", "0.5b"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Engine, Raw]]:
    preset: str = request.param
    path = tmp_path_factory.mktemp("bench") / f"{preset}.gguf"
    write_random_gguf(path, preset, context_tokens=CONTEXT_TOKENS)
    engine, raw = Engine(path, *SHARED, *NO_GUESSES), Raw(path)
    yield preset, engine, raw
    engine.close()
    raw.close()
    path.unlink()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("sequences", [1, 4, 8, 16, 32])
def test_tokens_a_second(
    benchmark: BenchmarkFixture, pair: tuple[str, Engine, Raw], sequences: int
) -> None:
    preset, engine, raw = pair
    # Long enough that all are there for most of it: prompts are read in more than one step.
    steps, turns = (50, 12) if preset == "tiny" else (30, 3)
    raw.run(sequences, steps)
    engine.run(sequences, steps)
    raw_ns: list[int] = []
    engine_ns: list[tuple[int, float]] = []

    def turn() -> None:
        raw_ns.append(raw.run(sequences, steps))
        engine_ns.append(engine.run(sequences, steps))

    benchmark.pedantic(turn, rounds=turns)  # type: ignore[no-untyped-call]  # the plugin's own gap
    tokens = sequences * steps * 1e9
    best_ns, in_decode = min(engine_ns)
    rates = {
        "raw_tokens_s": round(tokens / min(raw_ns), 1),
        "engine_tokens_s": round(tokens / best_ns, 1),
        "ratio": round(min(raw_ns) / best_ns, 3),
        "in_decode": round(in_decode, 3),
    }
    benchmark.extra_info.update(rates)
    sys.stderr.write(f"\n{preset}, {sequences} sequences: {rates}")
