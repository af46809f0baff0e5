"""Who overtakes whom on the way to the decode loop, and that each request has one end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterator
from typing import cast

import pytest

from edge.engine import intake
from edge.engine.answering import Answering
from edge.engine.intake import Command, Commands, Dropped, Prepared, Reader, Tokeniser
from edge.engine.messages import (
    Cancel,
    Count,
    Counted,
    FrameReader,
    Generate,
    Message,
    Ping,
    PipeError,
    Pong,
    Rejected,
    Sampling,
    Shutdown,
    Tokenising,
    encode,
)
from edge.engine.pipe import Pipe
from edge.engine.prompt import Messages, Prompts
from edge.engine.pulse import Pulse
from edge.errors import EngineError, InvalidRequest

CONTEXT_TOKENS = 50


class Steps:
    """Prompts of which each is a number: of the parts that it has, and of its tokens. At each part
    ``on_part`` is called with the prompt."""

    def __init__(self) -> None:
        self.on_part: Callable[[str], object] = lambda _prompt: None

    def tokens(
        self, prompt: str | None, _messages: Messages | None, *_rest: str | None
    ) -> Generator[None, None, tuple[int, ...]]:
        assert prompt is not None
        for _ in range(int(prompt)):
            self.on_part(prompt)
            yield
        return tuple(range(int(prompt)))


class Bench:
    """A tokeniser whose thread is started by the test, and both ends of its pipe."""

    def __init__(self) -> None:
        self.theirs, ours = socket.socketpair()
        self.theirs.settimeout(30)
        self.pipe = Pipe(ours.detach())
        self.commands: Commands[Prepared | Dropped] = Commands()
        self.steps = Steps()
        self.tokeniser = Tokeniser(
            self.pipe,
            cast(Prompts, self.steps),
            Answering("", (), str),
            CONTEXT_TOKENS,
            self.commands,
        )
        self._frames = FrameReader()
        self._unread: list[Message] = []

    def ask(self, key: int, parts: int) -> Generate:
        request = Generate(key, str(parts), None, Sampling())
        self.tokeniser.add(request)
        return request

    def work(self, ends: int) -> list[Command]:
        """Starts the thread, and waits for so many commands."""
        self.tokeniser.start()
        commands: list[Command] = []
        while len(commands) < ends:
            commands += self.commands.take(wait=True) or ()
        return commands

    def said(self) -> Message:
        """The next message to the node, but for what it turns to."""
        while True:
            while not self._unread:
                self._unread = self._frames.feed(self.theirs.recv(1 << 16))
            message = self._unread.pop(0)
            if not isinstance(message, Tokenising):
                return message


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.theirs.close()
    if bench.tokeniser.is_alive():
        # What it has to say breaks its pipe, which is its end.
        bench.tokeniser.add(Count(-99, "1", None))
        bench.tokeniser.join(30)
    bench.pipe.close()


def keys(commands: list[Command]) -> list[int]:
    return [each.request.key for each in commands if isinstance(each, Prepared)]


def test_a_short_prompt_does_not_wait_for_a_long_one(bench: Bench) -> None:
    for key, parts in ((1, 40), (2, 2), (3, 1)):
        bench.ask(key, parts)
    commands = bench.work(3)
    assert keys(commands) == [3, 2, 1]
    assert [len(each.tokens) for each in commands if isinstance(each, Prepared)] == [1, 2, 40]


def test_equal_ones_keep_their_order(bench: Bench) -> None:
    for key in range(10):
        bench.ask(key, 3)
    assert keys(bench.work(10)) == list(range(10))


def test_a_cancel_overtakes_what_waits(bench: Bench) -> None:
    for key in (1, 2, 3):
        bench.ask(key, 5)
    bench.tokeniser.cancel(2)
    commands = bench.work(3)
    assert commands[0] == Dropped(2)
    assert keys(commands) == [1, 3]


def test_a_cancel_wins_over_what_is_just_being_prepared(bench: Bench) -> None:
    """In the middle of the last part, when its tokens are all there."""
    done = []

    def cancel(prompt: str) -> None:
        if prompt == "3":
            done.append(prompt)
            if len(done) == 3:
                bench.tokeniser.cancel(1)

    bench.steps.on_part = cancel
    bench.ask(1, 3)
    bench.ask(2, 9)
    commands = bench.work(2)
    assert commands[0] == Dropped(1)
    assert keys(commands) == [2]


def test_a_cancel_of_what_is_prepared_comes_behind_it(bench: Bench) -> None:
    bench.ask(1, 1)
    bench.ask(2, 9)
    parts: list[str] = []

    def cancel(prompt: str) -> None:
        parts.append(prompt)
        if parts.count("9") == 5:
            bench.tokeniser.cancel(1)

    bench.steps.on_part = cancel
    commands = bench.work(3)
    assert keys(commands) == [1, 2]
    assert commands[1] == Cancel(1)


def test_a_count_is_answered_and_never_reaches_the_loop(bench: Bench) -> None:
    bench.tokeniser.add(Count(-1, "49", None))
    bench.tokeniser.add(Count(-2, "60", None))
    bench.ask(1, 9)
    assert keys(bench.work(1)) == [1]
    assert bench.said() == Counted(-1, 49, CONTEXT_TOKENS)
    # Also one that does not fit: who asked says so.
    assert bench.said() == Counted(-2, 60, CONTEXT_TOKENS)


@pytest.mark.parametrize(
    ("parts", "code", "says"),
    [(0, "invalid_request", "is empty"), (50, "prompt_too_long", "has 50 tokens")],
)
def test_what_cannot_run_is_rejected(bench: Bench, parts: int, code: str, says: str) -> None:
    bench.ask(1, parts)
    bench.ask(2, 49)
    assert keys(bench.work(1)) == [2]
    rejected = bench.said()
    assert isinstance(rejected, Rejected)
    assert (rejected.key, rejected.code, rejected.field) == (1, code, "prompt")
    assert says in rejected.message


@pytest.mark.parametrize(
    ("error", "recoverable"),
    [
        (InvalidRequest("no", field="messages"), False),
        (EngineError("not now"), True),
        (ZeroDivisionError("a defect"), False),
        (MemoryError(), False),
    ],
)
def test_an_error_is_the_end_of_its_own_request(
    bench: Bench, error: Exception, recoverable: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(prompt: str) -> None:
        if prompt == "3":
            raise error

    bench.steps.on_part = fail
    bench.ask(1, 3)
    bench.ask(2, 9)
    assert keys(bench.work(1)) == [2]
    rejected = bench.said()
    assert isinstance(rejected, Rejected)
    assert (rejected.key, rejected.recoverable) == (1, recoverable)
    known = isinstance(error, InvalidRequest | EngineError)
    assert ("Traceback" in capfd.readouterr().err) == (not known)


def test_the_node_hears_whose_text_is_at_work(bench: Bench) -> None:
    bench.ask(1, 2)
    bench.work(1)
    frames = FrameReader()
    assert frames.feed(bench.theirs.recv(1 << 16)) == [Tokenising(1)]


def test_more_requests_than_an_engine_has_are_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "REQUESTS_MAX", 2)
    for key in (1, 2, 3):
        bench.ask(key, 1)
    rejected = bench.said()
    assert isinstance(rejected, Rejected)
    assert (rejected.key, rejected.code, rejected.recoverable) == (3, "overloaded", True)
    assert keys(bench.work(2)) == [1, 2]


def test_the_tokeniser_ends_with_the_node(bench: Bench) -> None:
    bench.theirs.close()
    bench.ask(1, 1)
    bench.tokeniser.start()
    bench.tokeniser.join(30)
    assert bench.commands.take(wait=True) is None
    assert bench.commands.fault is None


def test_so_many_commands_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "COMMANDS_MAX", 2)
    commands: Commands[Prepared | Dropped] = Commands()
    commands.put(Ping(1))
    commands.put(Ping(2))
    with pytest.raises(AssertionError, match="no more"):
        commands.put(Ping(3))
    assert commands.take(wait=True) == [Ping(1), Ping(2)]
    commands.put(Ping(3))


# ---- the reader


def test_what_is_no_request_overtakes_those_that_are(bench: Bench) -> None:
    request = Generate(1, "9", None, Sampling())
    for message in (request, Ping(7), Cancel(1), Cancel(5)):
        bench.theirs.sendall(encode(message))
    bench.theirs.shutdown(socket.SHUT_WR)
    read: Commands[Prepared | Dropped] = Commands()
    reader = Reader(bench.pipe, bench.tokeniser, read)
    reader.run()
    assert bench.commands.take(wait=False) == [Dropped(1), Cancel(5)]
    assert read.take(wait=True) is None, "the node has hung up, which comes first"


@pytest.mark.parametrize("ends", ["shutdown", "hang up"])
def test_the_end_comes_before_all_else(bench: Bench, ends: str) -> None:
    bench.commands.put(Ping(1))
    if ends == "shutdown":
        bench.theirs.sendall(encode(Shutdown()))
    bench.theirs.shutdown(socket.SHUT_WR)
    Reader(bench.pipe, bench.tokeniser, bench.commands).run()
    assert bench.commands.take(wait=True) is None
    assert bench.commands.fault is None


def test_garbage_is_the_end_and_a_fault(bench: Bench) -> None:
    bench.theirs.sendall(b"\xff" * 100)
    with pytest.raises(PipeError):
        Reader(bench.pipe, bench.tokeniser, bench.commands).run()
    assert isinstance(bench.commands.fault, PipeError)
    assert bench.commands.take(wait=True) is None


class Beats:
    """A pulse that beats when the test says so."""

    def __init__(self) -> None:
        self.operations = 0
        self.stopped = False

    def begin(self) -> None:
        self.operations = 0
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True


def stepping(*keys: int) -> tuple[Commands[Prepared | Dropped], Beats]:
    beats = Beats()
    commands: Commands[Prepared | Dropped] = Commands(cast(Pulse, beats))
    commands.stepping(7, keys)
    return commands, beats


def test_a_step_ends_when_all_whom_it_serves_are_cancelled() -> None:
    commands, beats = stepping(1, 2)
    commands.put(Cancel(3))
    commands.put(Cancel(1))
    commands.put(Cancel(1))
    assert not beats.stopped
    commands.put(Cancel(2))
    assert beats.stopped


def test_a_cancel_before_the_step_counts_and_one_behind_it_waits_for_the_next() -> None:
    beats = Beats()
    commands: Commands[Prepared | Dropped] = Commands(cast(Pulse, beats))
    commands.put(Cancel(1))
    commands.stepping(1, [1])
    assert beats.stopped
    commands.stepped()
    commands.take(wait=False)
    commands.stepping(2, [2])
    commands.stepped()
    commands.put(Cancel(2))
    assert not beats.stopped


def test_the_end_ends_the_step_too() -> None:
    commands, beats = stepping(1, 2)
    commands.close()
    assert beats.stopped
    commands.stepping(8, [1])
    assert beats.stopped


def test_a_step_beats_only_while_it_goes_on() -> None:
    commands, beats = stepping(1)
    assert commands.beating() is None
    beats.operations = 5
    assert commands.beating() == 7
    assert commands.beating() is None, "it stands still"
    beats.operations = 6
    assert commands.beating() == 7
    commands.stepped()
    beats.operations = 9
    assert commands.beating() is None, "there is none"


def test_a_ping_within_a_step_is_answered_by_who_reads_it() -> None:
    commands, beats = stepping(1)
    theirs, ours = socket.socketpair()
    pipe = Pipe(ours.detach())
    reader = Reader(pipe, cast(Tokeniser, None), commands)
    beats.operations = 5
    theirs.sendall(encode(Ping(3)) + encode(Ping(4)))
    theirs.shutdown(socket.SHUT_WR)
    reader.run()
    assert FrameReader().feed(theirs.recv(1 << 16)) == [Pong(3, 7)]
    theirs.close()
    pipe.close()
    # The second found no progress: the loop has to answer it.
    assert list(commands._commands) == [Ping(4)]
