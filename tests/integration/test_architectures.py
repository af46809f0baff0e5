"""What is taken over of a cache changes no text, whatever kind of cache a model has.

Each of them by llama.cpp itself, with random weights: a sliding window, a recurrent state, and both
a state and an attention's cache. What an engine says that has just started is what is right.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from edge.engine.messages import Cancel, LoadFailed, Ready, Sampling, Shutdown
from edge.errors import ModelError
from edge.inference import resolve
from tests.support.random_architectures import (
    CONV,
    INNER,
    STATE,
    WIDTH,
    WINDOW,
    write_architecture,
)
from tests.support.worker import Worker, ask

WINDOWED = "gemma3"
RECURRENT = ("mamba", "lfm2")
CHATS_CHARS = 5 * WINDOW
MORE = "andthen"
# Each letter is a token, so that a text's tokens are those that were said.
LETTERS = Sampling(max_tokens=24, temperature=0, grammar="root ::= [a-p]{24}")

Cold = Callable[[str], tuple[int, ...]]
"""What the model says to this prompt, by an engine that has seen no other."""


def chat(number: int) -> str:
    return "".join(random.Random(number).choices("abcdefghijklmnop", k=CHATS_CHARS))


@pytest.fixture(scope="module", params=[WINDOWED, *RECURRENT])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_architecture(tmp_path_factory.mktemp("model") / "random.gguf", request.param)


@pytest.fixture(scope="module")
def cold(model: Path) -> Cold:
    @cache
    def said(prompt: str) -> tuple[int, ...]:
        worker = started(model, "--no-speculation")
        worker.run(ask(1, prompt, LETTERS))
        worker.close()
        return worker.tokens(1)

    return said


def started(model: Path, *flags: str) -> Worker:
    worker = Worker(model, *flags)
    assert isinstance(worker.next(), Ready)
    return worker


@pytest.fixture
def worker(model: Path) -> Iterator[Worker]:
    """Four slots."""
    worker = started(model)
    yield worker
    worker.close()


def is_recurrent(model: Path) -> bool:
    return resolve(str(model), model.parent).architecture in RECURRENT


def test_a_chats_next_turn_reads_what_is_new_and_says_the_same(worker: Worker, cold: Cold) -> None:
    """Far beyond the window."""
    prompt = chat(1)
    for turn in range(1, 5):
        worker.run(ask(turn, prompt, LETTERS))
        assert worker.tokens(turn) == cold(prompt)
        if turn > 1:
            # All but the last letter of the answer, which nobody had to read for another.
            assert worker.admitted(turn).cached_tokens == len(prompt) - len(MORE) - 1
        prompt += worker.text(turn) + MORE


def test_a_common_beginning_changes_nothing(worker: Worker, cold: Cold, model: Path) -> None:
    """Copied from a slot that keeps more, cut in place, or read again."""
    prompts = [chat(1) + end for end in ("a", "bcdefgh" * 8, "b")]
    prompts.append(chat(1)[: CHATS_CHARS // 2] + "p")
    for key, prompt in enumerate(prompts, 1):
        worker.run(ask(key, prompt, LETTERS))
        assert worker.tokens(key) == cold(prompt)
    shared = [worker.admitted(key).cached_tokens for key in range(1, 5)]
    if is_recurrent(model):
        assert shared == [0] * 4
    else:
        assert shared == [0, CHATS_CHARS, CHATS_CHARS, CHATS_CHARS // 2]


def test_those_that_run_side_by_side_say_what_they_say_alone(worker: Worker, cold: Cold) -> None:
    """More than there are slots, some under the same beginning, one of them cancelled."""
    prompts = [chat(number % 3) + "a" * number for number in range(1, 8)]
    worker.send(*[ask(key, prompt, LETTERS) for key, prompt in enumerate(prompts)])
    worker.send(ask(99, chat(9), replace(LETTERS, max_tokens=200, grammar=None)), Cancel(99))
    ended = worker.until_finished(*range(len(prompts)), 99)
    assert ended[99].reason == "cancelled"
    for key, prompt in enumerate(prompts):
        assert worker.tokens(key) == cold(prompt)


def test_who_comes_back_from_the_shelf_says_the_same(worker: Worker, cold: Cold) -> None:
    prompt = chat(1)
    worker.run(ask(1, prompt, LETTERS))
    for key in range(2, 8):
        worker.run(ask(key, chat(key), LETTERS))
    longer = prompt + worker.text(1) + MORE
    worker.run(ask(9, longer, LETTERS))
    assert worker.cache_use().fetched == 1
    assert worker.admitted(9).cached_tokens == len(longer) - len(MORE) - 1
    assert worker.tokens(9) == cold(longer)


def test_who_comes_back_after_a_restart_says_the_same(
    model: Path, cold: Cold, tmp_path: Path
) -> None:
    flags = ("--prompt-cache-dir", str(tmp_path / "cache"))
    first = started(model, *flags)
    prompt = chat(1)
    first.run(ask(1, prompt, LETTERS))
    longer = prompt + first.text(1) + MORE
    first.send(Shutdown())
    assert first.process.wait(20) == 0
    first.close()
    second = started(model, *flags)
    second.run(ask(1, longer, LETTERS))
    assert second.admitted(1).cached_tokens == len(longer) - len(MORE) - 1
    assert second.tokens(1) == cold(longer)
    second.close()


def test_nothing_is_guessed_where_it_could_not_be_taken_back(
    worker: Worker, cold: Cold, model: Path
) -> None:
    sampling = replace(LETTERS, max_tokens=60, grammar='root ::= ("abcdefg"){40}')
    worker.run(ask(1, "abcdefg" * 8, sampling))
    assert worker.text(1) == ("abcdefg" * 9)[:60]
    at_once = max(len(each.tokens) for step in worker.steps for each in step.outputs)
    assert (at_once == 1) == is_recurrent(model)
    # What was guessed wrongly has left nothing behind.
    prompt = "abcdefg" * 8 + worker.text(1) + MORE
    worker.run(ask(2, prompt, LETTERS))
    assert worker.tokens(2) == cold(prompt)


def test_a_cache_that_is_full_ends_nobody(model: Path, cold: Cold) -> None:
    """Room for two and a half, where four run."""
    size = 5 * (CHATS_CHARS + LETTERS.max_tokens) // 2
    worker = started(model, "--context-tokens", "256", "--cache-tokens", str(size))
    prompts = [chat(number) for number in range(4)]
    worker.send(*[ask(key, prompt, LETTERS) for key, prompt in enumerate(prompts)])
    worker.until_finished(*range(4))
    for key, prompt in enumerate(prompts):
        assert worker.tokens(key) == cold(prompt)
    worker.close()


@pytest.mark.parametrize(
    ("architecture", "why"),
    [("t5", "it has an encoder and a decoder"), ("bert", "it is an encoder")],
)
def test_what_writes_no_text_is_refused(tmp_path: Path, architecture: str, why: str) -> None:
    path = write_architecture(tmp_path / "random.gguf", architecture)
    with pytest.raises(ModelError, match=why):
        resolve(str(path), tmp_path)


def test_llama_cpp_itself_knows_what_needs_an_encoder(tmp_path: Path) -> None:
    """Should a file's header not give it away."""
    worker = Worker(write_architecture(tmp_path / "random.gguf", "t5"))
    failed = worker.next()
    assert isinstance(failed, LoadFailed)
    assert "needs an encoder" in failed.message
    worker.close()


@pytest.mark.parametrize(("architecture", "layers"), [("mamba", 2), ("lfm2", 2)])
def test_what_a_sequence_keeps_is_known_from_the_file(
    tmp_path: Path, architecture: str, layers: int
) -> None:
    """By llama.cpp's formulas, for these widths: a window of the convolution, and a state."""
    shape = resolve(str(write_architecture(tmp_path / "random.gguf", architecture)), tmp_path).shape
    floats = {"mamba": (CONV - 1) * INNER + INNER * STATE, "lfm2": 2 * WIDTH}[architecture]
    assert shape.state_bytes == 4 * layers * floats
