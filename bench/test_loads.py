"""The engine under the loads that it is made for, one line of figures each.

What is measured is said with each; all but the last by SmolLM2-135M-Instruct. The engine runs
without a node, in its own process, as a node would run it.
"""

from __future__ import annotations

import itertools
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.test_engine import CONTEXT_TOKENS, NO_GUESSES, PROMPT, SHARED, THREADS, Engine, Raw
from edge.engine.messages import (
    Admitted,
    Cancel,
    Finished,
    Generate,
    Rejected,
    Sampling,
    Shutdown,
    Step,
    encode,
)
from tests.support.random_gguf import write_random_gguf
from tests.support.smollm2 import smollm2

WORDS: Final = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota")
STEP_MS: Final = 200
"""The default of ``model.step_ms``."""
# 16 slots, and room for what the longest of these loads has at a time.
CHATS: Final = (
    *("--slots", "16", "--context-tokens", "4096", "--cache-tokens", "12288"),
    *("--threads", str(THREADS), "--step-ms", str(STEP_MS), *NO_GUESSES),
)


def words(number: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=number))


class Asked(Engine):
    """A worker, what it was asked for, and when it said what."""

    def __init__(self, model: Path, *flags: str) -> None:
        super().__init__(model, *flags)
        self.admitted: dict[int, Admitted] = {}
        self.heard_s: dict[int, list[float]] = defaultdict(list)
        self.text: dict[int, str] = defaultdict(str)
        self.finished: dict[int, Finished] = {}
        self.steps = 0

    def ask(self, prompt: str, max_tokens: int) -> int:
        """The key of the new request."""
        self.key += 1
        sampling = Sampling(max_tokens, temperature=0, ignore_eos=True)
        self.send(encode(Generate(self.key, prompt, None, sampling)))
        return self.key

    def step(self) -> Step:
        """The next one, of which is kept when each sequence has said something."""
        while True:
            message = self.next()
            assert not isinstance(message, Rejected), message
            if isinstance(message, Step):
                break
        now_s = time.perf_counter()
        self.steps += 1
        for admitted in message.admitted:
            self.admitted[admitted.key] = admitted
        for output in message.outputs:
            if output.tokens:
                self.heard_s[output.key].append(now_s)
            self.text[output.key] += output.text
        for finished in message.finished:
            self.finished[finished.key] = finished
            self.text[finished.key] += finished.text
        return message

    def until(self, done: Callable[[], bool]) -> None:
        while not done():
            self.step()

    def answer(self, prompt: str, max_tokens: int = 16) -> int:
        """The key of a request that has ended."""
        key = self.ask(prompt, max_tokens)
        self.until(lambda: key in self.finished)
        return key

    def read(self, key: int) -> int:
        """Tokens of its prompt that were read, and not found."""
        return self.admitted[key].prompt_tokens - self.admitted[key].cached_tokens

    def rate(self, window_s: float) -> float:
        """Tokens a second of one client that asks again and again, after some time to settle."""
        settled_s = time.perf_counter() + window_s / 2
        tokens = 0
        start_s = end_s = 0.0
        while not start_s or end_s < start_s + window_s:
            key = self.ask(f"{self.key}{PROMPT}", 64)
            while key not in self.finished:
                step = self.step()
                end_s = time.perf_counter()
                if start_s:
                    tokens += sum(len(each.tokens) for each in step.outputs)
                elif end_s >= settled_s:
                    start_s = end_s
        return tokens / (end_s - start_s)

    def shut_down(self) -> None:
        """In order, so that caches are written down."""
        self.send(encode(Shutdown()))
        assert self.process.wait(20) == 0
        self.close()


@contextmanager
def asked(model: Path, *flags: str) -> Iterator[Asked]:
    engine = Asked(model, *flags)
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def busy_neighbour() -> Iterator[None]:
    """A process that takes all the time of a core that it gets."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def tell(benchmark: BenchmarkFixture, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Measures once; the figures go into the benchmark's and onto the screen."""
    figures: dict[str, Any] = benchmark.pedantic(measure, rounds=1)  # type: ignore[no-untyped-call]  # no types
    benchmark.extra_info.update(figures)
    sys.stderr.write(f"\n{benchmark.name}: {figures}")
    return figures


@pytest.mark.timeout(400)
def test_a_busy_neighbour(benchmark: BenchmarkFixture) -> None:
    """One client. ``of_single`` is the rate beside the neighbour by that of one thread without;
    ``of_best`` the quiet rate by the raw loop's with the best fixed number of threads."""
    model, steps = smollm2(), 100

    def raw(threads: int) -> float:
        loop = Raw(model, "--threads", str(threads))
        best_ns = min(loop.run(1, steps) for _ in range(3))
        loop.close()
        return steps * 1e9 / best_ns

    def measure() -> dict[str, Any]:
        fixed = {threads: round(raw(threads), 1) for threads in {1, max(1, THREADS // 2), THREADS}}
        with asked(model, *SHARED, *NO_GUESSES, "--threads", "1") as one:
            single = one.rate(6)
        with asked(model, *SHARED, *NO_GUESSES) as engine:
            quiet = engine.rate(8)
            with busy_neighbour():
                beside = engine.rate(16)
        return {
            "raw_by_threads": fixed, "single": round(single, 1), "quiet": round(quiet, 1),
            "beside": round(beside, 1), "of_single": round(beside / single, 3),
            "of_best": round(quiet / max(fixed.values()), 3),
        }  # fmt: skip

    assert tell(benchmark, measure)["beside"] > 0


@pytest.mark.timeout(400)
def test_a_common_prompt(benchmark: BenchmarkFixture) -> None:
    """16 clients under the same 200 words, and under as many of their own: the median time to the
    first token, and ``ratio`` of the two."""
    clients = 16

    def first_token_ms(engine: Asked, prompts: list[str]) -> float:
        engine.answer(words(20, -1))  # it is warm
        start_s = time.perf_counter()
        keys = [engine.ask(prompt, 16) for prompt in prompts]
        engine.until(lambda: all(key in engine.finished for key in keys))
        return 1e3 * statistics.median(engine.heard_s[key][0] - start_s for key in keys)

    def measure() -> dict[str, Any]:
        with asked(smollm2(), *CHATS) as engine:
            common = words(200, 1)
            shared_ms = first_token_ms(engine, [f"{common} {each}" for each in range(clients)])
        with asked(smollm2(), *CHATS) as engine:
            own = [f"{words(200, 2 + each)} {each}" for each in range(clients)]
            alone_ms = first_token_ms(engine, own)
        return {
            "common_ms": round(shared_ms), "own_ms": round(alone_ms),
            "ratio": round(shared_ms / alone_ms, 3),
        }  # fmt: skip

    assert tell(benchmark, measure)["ratio"] < 1


@pytest.mark.timeout(400)
def test_a_chats_next_turn(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Tokens that are read for a chat's next turn, which has ``new`` more than the one before, the
    answer between them included: at once, after 15 other chats, and after an orderly restart."""
    flags = (*CHATS, "--prompt-cache-dir", str(tmp_path / "cache"))
    further = f" {words(12, 9)}"

    def next_turn(engine: Asked, prompt: str, before: int) -> tuple[str, int]:
        """The chat so far, and how much was read for its last turn."""
        prompt += engine.text[before] + further
        key = engine.answer(prompt)
        return prompt, engine.read(key)

    def measure() -> dict[str, Any]:
        prompt = words(200, 1)
        engine = Asked(smollm2(), *flags)
        first = engine.answer(prompt)
        prompt, at_once = next_turn(engine, prompt, first)
        last = engine.key
        for other in range(15):
            engine.answer(words(200, 100 + other))
        prompt, after_others = next_turn(engine, prompt, last)
        text = engine.text[engine.key]
        whole = engine.admitted[engine.key].prompt_tokens
        engine.shut_down()
        with asked(smollm2(), *flags) as again:
            key = again.answer(prompt + text + further)
            after_restart = again.read(key)
            new = again.admitted[key].prompt_tokens - whole
        return {
            "at_once": at_once, "after_others": after_others, "after_restart": after_restart,
            "new": new, "whole": whole,
        }  # fmt: skip

    figures = tell(benchmark, measure)
    assert max(figures["after_others"], figures["after_restart"]) < figures["whole"] / 2


@pytest.mark.timeout(400)
def test_a_long_prompt_beside_streams(benchmark: BenchmarkFixture) -> None:
    """Some 2,000 tokens of prompt beside 8 streams: the largest gap between two tokens of a stream
    while it is read, by the budget of a step (``of_budget``)."""

    def measure() -> dict[str, Any]:
        with asked(smollm2(), *CHATS) as engine:
            streams = [engine.ask(words(20, each), 2_000) for each in range(8)]
            engine.until(lambda: all(len(engine.heard_s[key]) > 20 for key in streams))
            start_s = time.perf_counter()
            long = engine.ask(words(1_520, 99), 1)
            engine.until(lambda: long in engine.finished)
            end_s = time.perf_counter()
            gaps_ms = []
            for key in streams:
                heard_s = [each for each in engine.heard_s[key] if start_s <= each <= end_s]
                gaps_ms += [1e3 * (b - a) for a, b in itertools.pairwise(heard_s)]
            prompt_tokens = engine.admitted[long].prompt_tokens
        return {
            "prompt_tokens": prompt_tokens, "read_ms": round(1e3 * (end_s - start_s)),
            "median_gap_ms": round(statistics.median(gaps_ms)),
            "largest_gap_ms": round(max(gaps_ms)),
            "of_budget": round(max(gaps_ms) / STEP_MS, 2),
        }  # fmt: skip

    assert tell(benchmark, measure)["prompt_tokens"] > 1_900


@pytest.mark.timeout(400)
def test_a_cancel(benchmark: BenchmarkFixture) -> None:
    """Of 16 streams one is cancelled, and another waits for its slot. In how many steps the first
    was still served, and how many milliseconds the last of these ended after the cancel was sent:
    then the slot is the other's, who is in the next step."""
    cancels = 16

    def measure() -> dict[str, Any]:
        served, took_ms = [], []
        with asked(smollm2(), *CHATS) as engine:
            running = [engine.ask(words(20, each), 4_000) for each in range(16)]
            engine.until(lambda: all(len(engine.heard_s[key]) > 2 for key in running))
            for each in range(cancels):
                key, heir = running.pop(0), engine.ask(words(20, 100 + each), 4_000)
                running.append(heir)
                engine.step()
                time.sleep(0.02)  # the next step is under way
                heard, start_s = len(engine.heard_s[key]), time.perf_counter()
                engine.send(encode(Cancel(key)))
                while heir not in engine.admitted:
                    engine.step()
                assert key in engine.finished
                still_s = engine.heard_s[key][heard:]
                served.append(len(still_s))
                took_ms.append(1e3 * (max(still_s, default=start_s) - start_s))
        return {
            "median_ms": round(statistics.median(took_ms), 1), "worst_ms": round(max(took_ms), 1),
            "worst_steps": max(served),
        }  # fmt: skip

    assert tell(benchmark, measure)["worst_steps"] <= 1


@pytest.mark.timeout(400)
def test_ten_thousand_requests(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Short ones, 16 at a time, by a tiny model: the engine's memory after 2,000 and after 10,000,
    when all that is bounded has long been full."""
    model = write_random_gguf(tmp_path / "nano.gguf", context_tokens=CONTEXT_TOKENS)

    def measure() -> dict[str, Any]:
        flags = ("--slots", "16", "--threads", "1", "--prompt-cache-bytes", str(1 << 20))
        with asked(model, *flags) as engine:
            process = psutil.Process(engine.process.pid)
            resident_mib = {}
            start_s = time.perf_counter()
            sent = 0
            for total in (2_000, 10_000):
                while len(engine.finished) < total:
                    while sent < total and sent - len(engine.finished) < 16:
                        engine.ask(f"{sent} {words(12, sent)}", 2)
                        sent += 1
                    engine.step()
                resident_mib[total] = round(process.memory_info().rss / 2**20, 1)
            took_s = time.perf_counter() - start_s
        return {
            "after_2000_mib": resident_mib[2_000], "after_10000_mib": resident_mib[10_000],
            "grown_mib": round(resident_mib[10_000] - resident_mib[2_000], 2),
            "requests_s": round(10_000 / took_s),
        }  # fmt: skip

    assert tell(benchmark, measure)["grown_mib"] < 16
