"""The real worker process over its socket, with a small model of random weights."""

from __future__ import annotations

import os
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.conversation import Message as Said
from edge.engine.messages import (
    BACKEND_BROKEN_STATUS,
    CacheUse,
    Cancel,
    Count,
    Counted,
    FromEngine,
    Generate,
    LoadFailed,
    Message,
    Ping,
    Pong,
    Ready,
    Rejected,
    Sampling,
    Shutdown,
    Step,
    encode,
)
from edge.inference.shipped import embedded
from tests.support.random_gguf import SENTENCEPIECE, write_random_gguf
from tests.support.worker import GREEDY, Worker, ask, command

LONG = Sampling(max_tokens=400, temperature=0, ignore_eos=True)
PREFIX = "the quick brown fox jumps over a lazy dog and tells its story to you " * 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_gguf(tmp_path_factory.mktemp("model") / "nano.gguf")


@pytest.fixture
def start() -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def make(path: Path, *flags: str) -> Worker:
        workers.append(Worker(path, *flags))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


@pytest.fixture
def worker(model: Path, start: Callable[..., Worker]) -> Worker:
    worker = start(model)
    ready = worker.next()
    assert isinstance(ready, Ready)
    assert (ready.model, ready.context_tokens, ready.slots) == ("nano", 512, 4)
    assert ready.has_chat_template
    return worker


def test_several_prompts_run_in_one_batch(worker: Worker) -> None:
    worker.send(*[ask(key, f"prompt {key}") for key in range(3)])
    ended = worker.until_finished(0, 1, 2)
    assert {each.reason for each in ended.values()} == {"length"}
    assert all(len(worker.tokens(key)) == 24 for key in range(3))
    assert max(len(step.outputs) for step in worker.steps) == 3
    assert worker.steps[-1].running == 0


def test_more_requests_than_slots_all_end_once(worker: Worker) -> None:
    worker.send(*[ask(key, f"{key} is a number") for key in range(11)])
    worker.until_finished(*range(11))
    ended = [each.key for step in worker.steps for each in step.finished]
    assert sorted(ended) == list(range(11))
    assert max(step.waiting for step in worker.steps) > 0


def test_a_cancelled_sequence_ends_and_its_slot_serves_again(worker: Worker) -> None:
    worker.send(ask(1, "on and on", LONG))
    worker.next()
    worker.send(Cancel(1), Cancel(99))
    ended = worker.until_finished(1)[1]
    assert ended.reason == "cancelled"
    assert ended.completion_tokens < 400
    assert worker.run(ask(2, "another")).reason == "length"


@pytest.mark.parametrize("told_chars", ["all", "none"])
def test_a_greedy_resume_says_exactly_the_rest(worker: Worker, told_chars: str) -> None:
    worker.run(ask(1, "once upon a time"))
    whole, tokens = worker.text(1), worker.tokens(1)
    # The text after 9 tokens, as a run that ends there streams it before its last word.
    outputs = [each for step in worker.steps for each in step.outputs if each.key == 1][:9]
    told = "".join(each.text for each in outputs) if told_chars == "all" else ""
    worker.run(Generate(2, "once upon a time", None, GREEDY, tokens[:9], len(told)))
    assert tokens[:9] + worker.tokens(2) == tokens
    assert told + worker.text(2) == whole


def test_a_resume_that_had_all_its_tokens_finishes_at_once(worker: Worker) -> None:
    ended = worker.run(Generate(1, "a", None, Sampling(max_tokens=3), (65, 66, 67), 3))
    assert (ended.reason, ended.completion_tokens, ended.text) == ("length", 3, "")
    assert worker.tokens(1) == ()


def test_a_seed_repeats_itself_and_another_does_not(worker: Worker) -> None:
    for key, seed in ((1, 7), (2, 7), (3, 8)):
        worker.run(ask(key, "dice", Sampling(max_tokens=24, seed=seed, ignore_eos=True)))
    assert worker.tokens(1) == worker.tokens(2) != worker.tokens(3)


def test_a_stop_string_ends_the_text_before_it(worker: Worker) -> None:
    worker.run(ask(1, "stop here"))
    whole = worker.text(1)
    stop = whole[3:6]
    stopping = Sampling(max_tokens=24, temperature=0, ignore_eos=True, stop=(stop,))
    assert worker.run(ask(2, "stop here", stopping)).reason == "stop"
    assert worker.text(2) == whole[: whole.index(stop)]


def test_the_end_of_the_context_is_a_length(worker: Worker) -> None:
    ended = worker.run(ask(1, "go", Sampling(max_tokens=10_000, temperature=0, ignore_eos=True)))
    assert ended.reason == "length"
    assert ended.prompt_tokens + ended.completion_tokens == 512


def test_a_prompt_over_the_context_is_rejected_with_numbers(worker: Worker) -> None:
    worker.send(ask(1, "z" * 600))
    rejected = worker.next()
    assert isinstance(rejected, Rejected)
    assert (rejected.code, rejected.field, rejected.recoverable) == (
        "prompt_too_long", "prompt", False,
    )  # fmt: skip
    assert "600" in rejected.message
    assert "512" in rejected.message


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        (Sampling(grammar="root ::= ("), "response_format"),
        (Sampling(grammar="root ::= " + "(" * 60_000 + '"a"' + ")" * 60_000), "response_format"),
        (Sampling(grammar="root ::= " + "(" * 1_001 + '"a"' + ")" * 1_001), "response_format"),
        (Sampling(grammar='root ::= "' + "a" * 131_072 + '"'), "response_format"),
        (Sampling(grammar='root ::= "a" \0'), "response_format"),
        (Sampling(grammar="root ::= nothing"), "response_format"),
        (Sampling(grammar='root ::= root "a"'), "response_format"),
        (Sampling(grammar='root ::= "a"', ignore_eos=True), "ignore_eos"),
    ],
)
def test_what_cannot_be_sampled_is_rejected(worker: Worker, sampling: Sampling, field: str) -> None:
    worker.send(ask(1, "hello", sampling))
    rejected = worker.next()
    assert isinstance(rejected, Rejected)
    assert (rejected.code, rejected.field) == ("invalid_request", field)
    assert worker.run(ask(2, "still there")).reason == "length"


def test_a_grammar_is_followed(worker: Worker) -> None:
    ended = worker.run(ask(1, "yes or no", Sampling(grammar='root ::= "yes" | "no"')))
    assert ended.reason == "stop"
    assert worker.text(1) in ("yes", "no")


@pytest.mark.parametrize("max_tokens", range(1, 13))
def test_a_text_cut_inside_a_character_ends_before_it(worker: Worker, max_tokens: int) -> None:
    """Each token is a byte here, and each fox has four of them."""
    ended = worker.run(
        ask(1, "foxes", Sampling(max_tokens=max_tokens, grammar='root ::= "🦊🦊🦊"'))
    )
    assert worker.text(1) == "🦊" * (max_tokens // 4)
    assert (ended.reason, ended.completion_tokens) == ("length", max_tokens)


@pytest.mark.parametrize(
    "stop", ["", "\0", "\ue0000\ue001", "\\", "🦊" * 256, "<|im_end|>", "{%", "\n\n\n"]
)
def test_odd_stop_strings_are_only_text(worker: Worker, stop: str) -> None:
    sampling = Sampling(max_tokens=24, temperature=0, ignore_eos=True, stop=(stop,) * 16)
    assert worker.run(ask(1, "stop here", sampling)).reason in ("length", "stop")


def test_a_shared_beginning_is_read_once_and_changes_nothing(
    worker: Worker, model: Path, start: Callable[..., Worker]
) -> None:
    prompts = [f"{PREFIX}{key}" for key in range(3)]
    worker.send(*[ask(key, prompt) for key, prompt in enumerate(prompts)])
    worker.until_finished(0, 1, 2)
    assert sorted(worker.admitted(key).cached_tokens > 20 for key in range(3)) == [
        False, True, True,
    ]  # fmt: skip
    read = sum(step.batch_tokens for step in worker.steps) - 3 * 23
    assert read < 2 * worker.admitted(0).prompt_tokens
    alone = start(model)
    assert isinstance(alone.next(), Ready)
    alone.run(ask(2, prompts[2]))
    assert alone.tokens(2) == worker.tokens(2)


def test_counts_and_pings_are_answered(worker: Worker) -> None:
    hostile, plain = ((Said("user", text),) for text in ("<|im_end|>", "x"))
    worker.send(Count(5, None, hostile), Count(6, None, plain))
    answers = [worker.next(), worker.next()]
    assert all(isinstance(each, Counted) for each in answers)
    # What a user writes is text, also when it looks like a control token.
    first, second = [each.tokens for each in answers if isinstance(each, Counted)]
    assert first - second == len("<|im_end|>") - 1
    worker.send(Ping(9))
    assert worker.next() == Pong(9, 0, 1)


LONG_CONTEXT = 65_536


@pytest.fixture(scope="module")
def start_long(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Worker]]:
    """A worker with a long context, whose vocabulary finds words by this pattern."""
    folder = tmp_path_factory.mktemp("long")
    workers: dict[str, Worker] = {}

    def make(pre: str) -> Worker:
        if pre not in workers:
            path = folder / f"{pre}.gguf"
            write_random_gguf(path, context_tokens=LONG_CONTEXT, pre=pre)
            flags = ("--slots", "1", "--context-tokens", str(LONG_CONTEXT))
            workers[pre] = Worker(path, *flags)
            assert isinstance(workers[pre].next(), Ready)
        return workers[pre]

    yield make
    for worker in workers.values():
        worker.close()


@pytest.mark.parametrize("pre", ["tekken", "gpt-4o", "deepseek-v3", "superbpe", SENTENCEPIECE])
@pytest.mark.parametrize("char", ["a", "1", " ", "\n", ".", "字", "\0"])
def test_no_run_of_characters_ends_the_engine(
    start_long: Callable[[str], Worker], pre: str, char: str
) -> None:
    """Some patterns recurse for each of them, others take time with their square."""
    worker = start_long(pre)
    size = 6_000 if pre == "superbpe" and char == "1" else 60_000
    worker.send(Count(-1, char * size, None), Count(-2, None, (Said("user", char * size),)))
    bare, chat = worker.next(), worker.next()
    assert isinstance(bare, Counted)
    assert isinstance(chat, Counted)
    assert 0 < bare.tokens < chat.tokens


@pytest.mark.parametrize("name", ["<|im_end|>", "<|im_start|>system\n", "</s>", "<|endoftext|>"])
def test_a_prompt_of_what_looks_like_control_tokens_is_text(
    start_long: Callable[[str], Worker], name: str
) -> None:
    worker = start_long("tekken")
    text = name * (400_000 // len(name))
    worker.send(Count(-1, None, (Said("user", text),)))
    counted = worker.next()
    assert isinstance(counted, Counted)
    assert counted.tokens > len(text) // 2


def test_what_cannot_fit_is_not_tokenised(worker: Worker) -> None:
    most = 512 * len("<|endoftext|>")
    worker.send(Count(-1, "a" * most, None), Count(-2, "a" * (most + 1), None))
    rejected, counted = worker.next(), worker.next()
    assert counted == Counted(-1, most, 512)
    assert isinstance(rejected, Rejected)
    assert (rejected.key, rejected.code) == (-2, "prompt_too_long")
    worker.send(Generate(3, None, (Said("user", "z" * 1_000_000),), GREEDY))
    rejected = worker.next()
    assert isinstance(rejected, Rejected)
    assert (rejected.code, rejected.field) == ("prompt_too_long", "messages")
    assert 3 in worker.tokenised


def test_a_short_prompt_does_not_wait_for_a_long_one(start_long: Callable[[str], Worker]) -> None:
    worker = start_long("tekken")
    worker.send(Count(-1, "to be or " * 50_000, None), Count(-2, "short", None))
    assert worker.next() == Counted(-2, 5, LONG_CONTEXT)
    assert isinstance(worker.next(), Counted)


def test_a_cancel_overtakes_a_prompt_that_is_still_tokenised(
    start_long: Callable[[str], Worker],
) -> None:
    worker = start_long("tekken")
    worker.send(ask(1, "to be or " * 5_000), Cancel(1))
    ended = worker.until_finished(1)[1]
    assert (ended.reason, ended.prompt_tokens, ended.text) == ("cancelled", 0, "")
    # Nothing more is heard of it.
    worker.run(ask(2, "next", Sampling(max_tokens=2, ignore_eos=True)))
    assert [each.key for step in worker.steps for each in step.finished if each.key < 2] == [1]


def test_tokens_that_this_model_does_not_have_are_refused(worker: Worker) -> None:
    """Another model had the name when the task was begun."""
    for key, token in ((1, 512), (2, -1), (3, 2**31)):
        worker.send(Generate(key, "a", None, GREEDY, (65, token), 0))
        rejected = worker.next()
        assert isinstance(rejected, Rejected)
        assert (rejected.key, rejected.recoverable) == (key, False)
    assert worker.run(ask(4, "still there")).reason == "length"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "end"),
        ("{{ 'x' * 10**11 }}", "template"),
        ("{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "characters"),
        ("{{ 'a' * 60000 }}", "more bytes than fit"),
        ("{% for a in range(99999) %}{{ messages[0].content }}{% endfor %}", "more bytes than fit"),
        ("{% if %}", "broken"),
    ],
)
def test_a_template_that_does_its_worst_is_the_end_of_its_requests_alone(
    tmp_path: Path, start: Callable[..., Worker], template: str, says: str
) -> None:
    worker = start(write_random_gguf(tmp_path / "bad.gguf", chat_template=template))
    assert isinstance(worker.next(), Ready)
    worker.send(Count(-1, None, (Said("system", "be kind"), Said("user", "hello"))))
    rejected = worker.next()
    assert isinstance(rejected, Rejected)
    assert says in rejected.message
    assert not rejected.recoverable
    assert worker.run(ask(1, "hello")).reason == "length"


def test_the_worker_ends_with_its_node(worker: Worker) -> None:
    worker.send(ask(1, "for ever", LONG))
    worker.next()
    worker.pipe.close()
    assert worker.process.wait(20) == 0


def test_a_shutdown_ends_it_orderly_and_silently(worker: Worker) -> None:
    worker.send(Shutdown())
    assert worker.process.wait(20) == 0
    assert worker.close() == b""


@pytest.mark.parametrize("damage", ["missing", "truncated", "no GGUF"])
def test_a_model_that_cannot_be_used_is_told(
    damage: str, model: Path, tmp_path: Path, start: Callable[..., Worker]
) -> None:
    path = tmp_path / "bad.gguf"
    if damage != "missing":
        data = model.read_bytes()
        path.write_bytes(data[: len(data) // 2] if damage == "truncated" else b"no model at all")
    worker = start(path)
    failed: FromEngine | Message = worker.next()
    assert isinstance(failed, LoadFailed)
    assert "bad.gguf" in failed.message
    assert worker.process.wait(20) == 1


def test_more_context_than_the_model_knows_is_refused(
    model: Path, start: Callable[..., Worker]
) -> None:
    failed = start(model, "--context-tokens", "513").next()
    assert isinstance(failed, LoadFailed)
    assert "a context of 512 tokens" in failed.message


@pytest.mark.parametrize(("name", "status"), [("nano.gguf", 0), ("none.gguf", 1)])
def test_the_probe_answers_with_its_status(model: Path, name: str, status: int) -> None:
    probe = [*command(model.with_name(name)), "--probe"]
    done = subprocess.run(probe, capture_output=True, timeout=30, check=False)
    assert done.returncode == status
    assert bool(done.stderr) == bool(status)


def words(number: int, count: int) -> str:
    return " ".join(f"{number}{chr(97 + each % 26)}" for each in range(count))


def test_a_cache_that_is_full_ends_nobody(model: Path, start: Callable[..., Worker]) -> None:
    # Room for one context, and four that want half of one each.
    worker = start(model, "--cache-tokens", "512")
    assert isinstance(worker.next(), Ready)
    sampling = Sampling(max_tokens=200, temperature=0, ignore_eos=True)
    worker.send(*(ask(key, words(key, 10), sampling) for key in range(1, 5)))
    ended = worker.until_finished(1, 2, 3, 4)
    assert {each.reason for each in ended.values()} == {"length"}
    assert {len(worker.tokens(key)) for key in ended} == {200}
    admitted = [each.key for step in worker.steps for each in step.admitted]
    assert sorted(admitted) == [1, 2, 3, 4]


def test_chats_in_turns_read_only_what_is_new(model: Path, start: Callable[..., Worker]) -> None:
    worker = start(model)
    assert isinstance(worker.next(), Ready)
    said = {number: PREFIX + words(number, 30) for number in range(3)}
    key = 0
    for turn in range(3):
        for number in said:
            key += 1
            ended = worker.run(ask(key, said[number]))
            if turn:
                new = ended.prompt_tokens - ended.cached_tokens
                assert new < 80, "all but its own last turn is there"
            said[number] += worker.text(key) + words(turn, 5)


def test_a_chat_that_comes_back_when_all_slots_went_to_others_is_not_read_again(
    model: Path, start: Callable[..., Worker]
) -> None:
    worker = start(model)
    assert isinstance(worker.next(), Ready)
    first = worker.run(ask(1, PREFIX + words(1, 40)))
    for key in range(2, 8):
        worker.run(ask(key, words(key, 60)))
    again = worker.run(ask(9, PREFIX + words(1, 40)))
    assert first.cached_tokens == 0
    assert again.cached_tokens == again.prompt_tokens - 1
    assert worker.text(9) == worker.text(1)


@pytest.fixture
def slow(tmp_path_factory: pytest.TempPathFactory, start: Callable[..., Worker]) -> Worker:
    """A worker that is at a long step: it reads a prompt, and each step reads twice as much."""
    path = tmp_path_factory.mktemp("slow") / "slow.gguf"
    write_random_gguf(path, context_tokens=LONG_CONTEXT)
    worker = start(
        path, "--slots", "2", "--context-tokens", str(LONG_CONTEXT), "--batch-tokens", "8192",
        "--step-ms", "10000",
    )  # fmt: skip
    assert isinstance(worker.next(), Ready)
    worker.send(ask(1, "to be or " * 3_000))
    while True:
        step = worker.next()
        assert isinstance(step, Step)
        if step.batch_tokens >= 4_096:
            return worker


def test_a_cancel_ends_the_step_that_serves_nobody_else(
    slow: Worker, start: Callable[..., Worker]
) -> None:
    read = slow.steps[-1].outputs[0].prefilled
    slow.send(Cancel(1), ask(2, "to be or not"))
    assert slow.until_finished(1)[1].reason == "cancelled"
    assert {each.prefilled for step in slow.steps for each in step.outputs if each.key == 1} <= set(
        range(read + 1)
    )
    # And llama.cpp's cache is what it is thought to be.
    slow.until_finished(2)
    again = slow.run(ask(3, "to be or " * 200))
    assert again.cached_tokens == again.prompt_tokens - 1
    fresh = start(slow.model, "--context-tokens", "4096")
    assert isinstance(fresh.next(), Ready)
    fresh.run(ask(3, "to be or " * 200))
    assert fresh.tokens(3) == slow.tokens(3)


def test_a_shutdown_ends_the_step(slow: Worker) -> None:
    steps = len(slow.steps)
    slow.send(Shutdown())
    assert slow.process.wait(20) == 0
    while data := slow.pipe.recv(1 << 16):
        assert not [each for each in slow._frames.feed(data) if isinstance(each, Step)]
    assert len(slow.steps) == steps


def test_pings_are_answered_within_a_long_step(slow: Worker) -> None:
    slow.pipe.settimeout(0.005)  # the step takes some 50 ms on a fast machine
    pongs: list[Pong] = []
    nonce = 0
    while True:
        nonce += 1
        slow.send(Ping(nonce))
        try:
            message = slow.next()
        except TimeoutError:
            continue  # the next may find that it has gone on
        if isinstance(message, Step):
            break
        if isinstance(message, CacheUse):
            continue  # what it found for the prompt
        assert isinstance(message, Pong)
        pongs.append(message)
    # Between two steps one is answered at most.
    assert len(pongs) >= 2
    assert {pong.step for pong in pongs[1:]} == {slow.steps[-1].step}


def test_a_chat_goes_on_after_a_restart_as_if_there_had_been_none(
    model: Path, start: Callable[..., Worker], tmp_path: Path
) -> None:
    flags = ("--prompt-cache-dir", str(tmp_path / "cache"))
    first = start(model, *flags)
    assert isinstance(first.next(), Ready)
    history = PREFIX + words(1, 40)
    ended = first.run(ask(1, history))
    # In slots, on the shelf, and one that is still running.
    for key in range(2, 8):
        first.run(ask(key, words(key, 60)))
    first.send(ask(9, words(9, 60), LONG))
    while not first.tokens(9):
        first.next()
    first.send(Shutdown())
    assert first.process.wait(20) == 0

    second = start(model, *flags)
    assert isinstance(second.next(), Ready)
    turn = history + "and then"
    again = second.run(ask(1, turn))
    assert again.cached_tokens >= ended.prompt_tokens - 1
    assert second.run(ask(2, words(9, 60))).cached_tokens > 100
    cold = start(model)
    assert isinstance(cold.next(), Ready)
    assert cold.run(ask(1, turn)).cached_tokens == 0
    assert cold.tokens(1) == second.tokens(1)
    assert ended.cached_tokens == 0


def test_another_models_caches_are_no_use(
    model: Path, start: Callable[..., Worker], tmp_path: Path
) -> None:
    flags = ("--prompt-cache-dir", str(tmp_path / "cache"))
    first = start(model, *flags)
    assert isinstance(first.next(), Ready)
    first.run(ask(1, words(1, 60)))
    first.send(Shutdown())
    assert first.process.wait(20) == 0
    assert list((tmp_path / "cache").iterdir())
    other = start(write_random_gguf(tmp_path / "other.gguf", seed=1), *flags)
    assert isinstance(other.next(), Ready)
    assert list((tmp_path / "cache").iterdir()) == []
    assert other.run(ask(1, words(1, 60))).cached_tokens == 0


def test_a_template_of_no_use_is_told_at_the_start_and_prompts_run(
    tmp_path: Path, start: Callable[..., Worker]
) -> None:
    worker = start(write_random_gguf(tmp_path / "bad.gguf", chat_template="{{ 1 | nothing }}"))
    ready = worker.next()
    assert isinstance(ready, Ready)
    assert "template is broken" in ready.template_fault
    assert worker.run(ask(1, "hello")).reason == "length"


def test_another_type_of_cache_writes_as_well(start: Callable[..., Worker]) -> None:
    (shipped,) = embedded()
    worker = start(shipped.path, "--kv-type", "q8_0", "--flash-attn", "on", "--no-mmap")
    assert isinstance(worker.next(), Ready)
    assert worker.run(ask(1, "hello")).completion_tokens == 24


BROKEN = """
import sys
import llama_cpp
from edge.engine import worker

run = worker.Loop.run


def break_first(loop):
    llama_cpp.llama_decode = lambda *_: -2
    run(loop)


worker.Loop.run = break_first
sys.exit(worker.main())
"""


def test_a_broken_backend_ends_the_worker_with_a_sentence(model: Path) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(30)
    with ours, theirs:
        flags = command(model)[3:]
        process = subprocess.Popen(
            [sys.executable, "-c", BROKEN, *flags, "--fd", str(theirs.fileno())],
            pass_fds=[theirs.fileno()], stderr=subprocess.PIPE,
        )  # fmt: skip
        ours.sendall(encode(ask(1, "hello")))
        words = process.communicate(timeout=30)[1].decode()
    assert process.returncode == BACKEND_BROKEN_STATUS
    assert words.splitlines()[-1].startswith("llama.cpp's backend is broken (code -2)")
    assert "Traceback" not in words


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is locked")
def test_a_model_is_kept_in_memory_where_that_is_wanted(
    model: Path, start: Callable[..., Worker]
) -> None:
    """As far as the system lets it; where it does not, the model runs all the same."""
    for flags in ((), ("--mlock",), ("--mlock", "--no-mmap")):
        worker = start(model, *flags)
        assert isinstance(worker.next(), Ready)
        assert worker.run(ask(1, "still there")).completion_tokens == 24
        status = Path(f"/proc/{worker.process.pid}/status").read_text(encoding="ascii")
        (locked_kib,) = re.findall(r"^VmLck:\s+(\d+) kB$", status, re.MULTILINE)
        limit_bytes = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
        may = os.geteuid() == 0 or not 0 <= limit_bytes < worker.model.stat().st_size
        assert (int(locked_kib) > 0) == (bool(flags) and may)
