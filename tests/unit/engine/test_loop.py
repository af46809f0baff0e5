"""What the decode loop says when it is too much for one message, and what it puts away."""

from __future__ import annotations

import socket
from typing import cast

import pytest

from edge.engine import messages
from edge.engine.batching.batcher import Batcher
from edge.engine.batching.budget import Budget
from edge.engine.batching.caches import IDLE_TOKENS_MAX, Caches
from edge.engine.batching.shelf import Shelf
from edge.engine.batching.tokens import Tokens
from edge.engine.intake import Commands
from edge.engine.llama import Llama
from edge.engine.loop import Loop
from edge.engine.messages import (
    Admitted,
    Finished,
    FrameReader,
    Message,
    Output,
    Rejected,
    Step,
    encode,
)
from edge.engine.pipe import Pipe
from edge.engine.threads import Threads


def finished(key: int, text: str) -> Finished:
    return Finished(key, "stop", text, 1, 0, 1, 1.0, 1.0)


def step(*outputs: Output, ended: tuple[Finished, ...] = ()) -> Step:
    admitted = tuple(Admitted(each.key, 1, 0) for each in outputs)
    return Step(7, admitted, outputs, ended, len(outputs), 0, len(outputs), 100)


class Told:
    """A loop that has only to tell, and what the node hears of it."""

    def __init__(self) -> None:
        self.node, ours = socket.socketpair()
        self.pipe = Pipe(ours.detach())
        # It tells what it is given: of all that it owns only the pipe is used.
        self.loop = Loop(
            cast(Llama, None),
            Batcher(Caches(1, Shelf(0)), Budget(200, 32)),
            Threads(1),
            self.pipe,
            Commands(),
        )

    def tell(self, step: Step) -> list[Message]:
        self.loop.tell(step)
        self.pipe.close()
        data = b""
        while more := self.node.recv(1 << 16):
            data += more
        self.node.close()
        return FrameReader().feed(data)


def test_a_step_that_fits_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said = step(Output(1, 1, (2,), "a" * 500), ended=(finished(1, "b"),))
    monkeypatch.setattr(messages, "FROM_ENGINE_BYTES_MAX", len(encode(said)) - 4)
    assert Told().tell(said) == [said]


def test_a_step_that_is_too_long_is_told_sequence_by_sequence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(messages, "FROM_ENGINE_BYTES_MAX", 800)
    first, second = Output(1, 1, (2,), "a" * 500), Output(2, 1, (3,), "b" * 500)
    told = Told().tell(step(first, second, ended=(finished(2, "c"), finished(3, "d"))))
    assert [each.outputs for each in told if isinstance(each, Step)] == [(first,), (second,), ()]
    ends = [[end.key for end in each.finished] for each in told if isinstance(each, Step)]
    assert ends == [[], [2], [3]]


def test_a_sequence_that_is_too_much_by_itself_is_rejected_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(messages, "FROM_ENGINE_BYTES_MAX", 800)
    small = Output(2, 1, (3,), "b")
    told = Told().tell(step(Output(1, 1, (2,), "a" * 900), small))
    rejected, other = sorted(told, key=lambda each: isinstance(each, Step))
    assert isinstance(rejected, Rejected)
    assert (rejected.key, rejected.recoverable) == (1, False)
    assert isinstance(other, Step)
    assert other.outputs == (small,)


class Cut:
    """llama.cpp's cache, as far as slots are read out of it and cut."""

    def __init__(self) -> None:
        self.cut: list[int] = []

    def state_size_bytes(self, _slot: int) -> int:
        return 100

    def state(self, _slot: int) -> bytes:
        return bytes(100)

    def trim(self, slot: int, keep: int) -> bool:
        assert keep == 0
        self.cut.append(slot)
        return True


@pytest.mark.parametrize(("room_bytes", "cut"), [(300, [0, 1]), (0, [])])
def test_idle_caches_go_on_the_shelf_while_others_run(room_bytes: int, cut: list[int]) -> None:
    caches, llama = Caches(4, Shelf(room_bytes)), Cut()
    batcher = Batcher(caches, Budget(200, 32))
    loop = Loop(cast(Llama, llama), batcher, Threads(1), cast(Pipe, None), Commands())
    for key in range(3):
        placement = caches.place(key, Tokens([key]))
        # Two are more than may be idle, and one is not. No two begin alike.
        cached = range(1_000 * key, 1_000 * key + IDLE_TOKENS_MAX * 2 // 3)
        caches.slots[placement.slot].cached = Tokens(cached)
        caches.leave(placement.slot)
    loop.tidy()
    assert llama.cut == []  # nobody is held up by them
    batcher.add(9, (1, 2, 3))
    batcher.admit()
    for _ in range(5):
        loop.tidy()
    assert llama.cut == cut
    assert [bool(slot.cached) for slot in caches.slots[:3]] == [
        each not in cut for each in range(3)
    ]
