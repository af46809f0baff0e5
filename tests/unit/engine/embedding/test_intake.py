"""What comes of texts before they are the loop's, on a thread of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from edge.engine.embedding.frame import Frame
from edge.engine.embedding.intake import TextTokeniser, Tokenised
from edge.engine.intake import Commands
from edge.engine.messages import Cancel, Embed, FrameReader, Message, Rejected, Unfit
from edge.engine.pipe import Pipe
from tests.unit.engine.embedding.test_frame import BERT, CLS, SEP, letters

CONTEXT_TOKENS = 8


class Held(Frame):
    """Waits with a text ``wait`` until it is let go, and cannot do ``defect``."""

    def __init__(self) -> None:
        super().__init__(BERT)
        self.at_work, self.go_on = threading.Event(), threading.Event()

    def text(self, text: str, tokens_max: int | None = None) -> tuple[int, ...]:
        if text == "wait":
            self.at_work.set()
            assert self.go_on.wait(20)
        if text == "defect":
            raise RuntimeError("nobody thought of this")
        return super().text(text, tokens_max)


class Threaded:
    """A tokeniser at work, and what the node hears of it."""

    def __init__(self) -> None:
        self.node, ours = socket.socketpair()
        self.node.settimeout(20)
        self.pipe = Pipe(ours.detach())
        self.frame = Held()
        self.commands = Commands[Tokenised]()
        self.tokeniser = TextTokeniser(self.pipe, self.frame, CONTEXT_TOKENS, self.commands)
        self.tokeniser.start()

    def heard(self) -> Message:
        frames = FrameReader()
        messages: list[Message] = []
        while not messages:
            messages = frames.feed(self.node.recv(1 << 16))
        (message,) = messages
        return message

    def taken(self) -> object:
        commands = self.commands.take(wait=True)
        assert commands is not None
        (command,) = commands
        return command


@pytest.fixture
def threaded() -> Iterator[Threaded]:
    made = Threaded()
    yield made
    made.frame.go_on.set()
    made.pipe.close()
    made.node.close()


def test_texts_become_tokens(threaded: Threaded) -> None:
    request = Embed(1, ("a", "bc"))
    threaded.tokeniser.add(request)
    assert threaded.taken() == Tokenised(
        request, ((CLS, *letters("a"), SEP), (CLS, *letters("bc"), SEP))
    )


def test_a_query_is_with_each_document(threaded: Threaded) -> None:
    request = Embed(1, ("a", "b"), query="q")
    threaded.tokeniser.add(request)
    taken = threaded.taken()
    assert isinstance(taken, Tokenised)
    assert [text[1:3] for text in taken.texts] == [(ord("q"), SEP)] * 2


def test_the_first_that_does_not_fit_is_named(threaded: Threaded) -> None:
    threaded.tokeniser.add(Embed(1, ("a", "much too long", "even much longer")))
    assert threaded.heard() == Unfit(1, 1, len("much too long") + 2, CONTEXT_TOKENS)


def test_or_cut(threaded: Threaded) -> None:
    threaded.tokeniser.add(Embed(1, ("much too long",), truncate=True))
    taken = threaded.taken()
    assert isinstance(taken, Tokenised)
    assert len(taken.texts[0]) == CONTEXT_TOKENS


def test_a_defect_ends_one_request_alone(
    threaded: Threaded, capfd: pytest.CaptureFixture[str]
) -> None:
    threaded.tokeniser.add(Embed(1, ("defect",)))
    rejected = threaded.heard()
    assert isinstance(rejected, Rejected)
    assert (rejected.key, rejected.recoverable) == (1, False)
    threaded.tokeniser.add(Embed(2, ("a",)))
    taken = threaded.taken()
    assert isinstance(taken, Tokenised)
    assert taken.key == 2
    assert "nobody thought of this" in capfd.readouterr().err


def test_what_is_cancelled_comes_to_nothing(threaded: Threaded) -> None:
    threaded.tokeniser.add(Embed(1, ("wait",)))
    assert threaded.frame.at_work.wait(20)
    threaded.tokeniser.cancel(1)
    assert threaded.taken() == Cancel(1)
    threaded.frame.go_on.set()
    threaded.tokeniser.add(Embed(2, ("a",)))
    taken = threaded.taken()
    assert isinstance(taken, Tokenised)
    assert taken.key == 2, "and nothing of the first"
