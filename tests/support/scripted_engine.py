"""A stand-in for the engine worker: speaks the pipe's protocol, needs no model.

Run as a script. It makes ``--rate`` decode steps a second while sequences run (0: as fast as they
are read), one token of ``word `` a step for each, and answers all else at once. With ``--stamps``
a word is the time of its step; with ``--says WORD`` it is that one; with ``--signed`` it is its
number and who made it, so that no two engines write the same text. ``--unicode`` puts a piece of
many scripts before each word, cut where code points meet. ``--staggered`` gives every sequence its
own moment of that interval instead of one step for all. How it fails:

* ``--dies-loading SIGNAL|STATUS``: before it is up; with ``--only-fast`` in fast mode alone
* ``--refuses SENTENCE``: says that the model cannot be used, and exits
* ``--hangs-loading``: never says anything
* a prompt ``die SIGNAL`` ends it at the first step of that prompt, ``die SIGNAL N`` when token N of
  it is due, ``hang`` stops all steps, ``garbage`` sends what is no message, ``reject`` is rejected
* to be counted, ``die SIGNAL`` ends it too, and ``mute`` is not answered; white space around a
  prompt is no matter, so that it may be of any length
"""

from __future__ import annotations

import argparse
import heapq
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence

from edge.conversation import Message
from edge.engine.messages import (
    Admitted,
    Cancel,
    Count,
    Counted,
    Finished,
    FrameReader,
    FromEngine,
    Generate,
    LoadFailed,
    Output,
    Ping,
    Pong,
    Ready,
    Rejected,
    Shutdown,
    Step,
    Tokenising,
    encode,
)

WORD = "word "
PIECES = (
    "Füchse ", "狐", "👩", "\u200d🚀 ", "e", "\u0301 ", "🇳", "🇴 ", '"\\', "\n\t", "\u2028", "🦊🦊 ",
)  # fmt: skip
"""Two, three and four bytes a character, emoji and accents cut in two, what JSON has to escape."""


def _plain(_number: int) -> str:
    return WORD


def _stamp(_number: int) -> str:
    """A word that says when it was made, on the clock that all processes share."""
    return f"{time.monotonic_ns()} "


def _signed(number: int) -> str:
    """A word that says which one of its task it is, and whose work."""
    return f"{number}:{os.getpid()} "


def _asked(request: Generate) -> str:
    """The prompt, or what was said last."""
    return (request.messages[-1].content if request.messages else request.prompt) or ""


def _die_of(words: list[str], made: int | None) -> None:
    """Ends this process if the words say so, of a prompt that has `made` so many tokens."""
    if words[:1] == ["die"]:
        due = int(words[2]) if len(words) > 2 else None
        if due == made:
            os.kill(os.getpid(), signal.Signals[words[1]])


def command(*flags: str) -> tuple[str, ...]:
    """The command line of this script in fast mode; ``{fd}`` stands for the socket's number."""
    return (sys.executable, "-m", "tests.support.scripted_engine", "--fd", "{fd}", *flags)


class ScriptedEngine:
    """The loop: read what there is, make a step if anything runs."""

    def __init__(
        self,
        pipe: socket.socket,
        rate: float,
        *,
        word: Callable[[int], str] = _plain,
        unicode: bool = False,
        staggered: bool = False,
    ) -> None:
        self._pipe = pipe
        self._word = word
        self._unicode = unicode
        self._staggered = staggered
        self._reader = FrameReader()
        self._interval_s = 1 / rate if rate else 0.0
        self._due_s = time.monotonic()
        self._line: list[tuple[float, int]] = []  # staggered: when each one's next token is due
        self._fresh: list[Generate] = []
        self._running: dict[int, tuple[Generate, int]] = {}
        self._cancelled: list[int] = []
        self._steps = 0
        self._hangs = False

    def send(self, *messages: FromEngine) -> None:
        self._pipe.sendall(b"".join(map(encode, messages)))

    def serve(self) -> None:
        """Until it is told to shut down or the node is gone."""
        while True:
            busy = (self._running or self._fresh or self._cancelled) and not self._hangs
            wait_s = max(0.0, self._due_s - time.monotonic()) if busy else None
            readable, _, _ = select.select([self._pipe], [], [], wait_s)
            if readable and not self._read():
                return
            if busy and time.monotonic() >= self._due_s:
                self._step()

    def _read(self) -> bool:
        data = self._pipe.recv(65_536)
        for message in self._reader.feed(data):
            match message:
                case Generate():
                    self._take(message)
                case Cancel(key):
                    self._cancelled.append(key)
                case Count(key, prompt, messages):
                    self._count(key, prompt, messages)
                case Ping(nonce):
                    if not self._hangs:
                        self.send(Pong(nonce, self._steps))
                case Shutdown():
                    return False
        return bool(data)

    def _take(self, request: Generate) -> None:
        asked = _asked(request)
        if asked == "reject":
            self.send(Rejected(request.key, "prompt_too_long", "too long", False, "prompt"))
        elif asked == "garbage":
            self._pipe.sendall(b"\x00\x00\x00\x02{]")
        elif asked == "hang":
            self._hangs = True
        else:
            self._fresh.append(request)

    def _count(self, key: int, prompt: str | None, messages: Sequence[Message] | None) -> None:
        words = ((messages[-1].content if messages else prompt) or "").split()
        self.send(Tokenising(key))
        _die_of(words, None)
        if words == ["reject"]:
            self.send(Rejected(key, "invalid_request", "no such prompt", False, "prompt"))
        elif words != ["mute"]:
            self.send(Counted(key, len(words) + len(messages or ()), 4_096))

    def _step(self) -> None:
        self._steps += 1
        admitted, outputs = [], []
        for request in self._fresh:
            words = _asked(request).split()
            _die_of(words, None)
            self._running[request.key] = (request, len(request.resume_tokens))
            if self._staggered:
                # Multiples of the golden ratio: however many there are, their moments are spread.
                moment_s = request.key * 0.618034 % 1 * self._interval_s
                heapq.heappush(self._line, (time.monotonic() + moment_s, request.key))
            admitted.append(Admitted(request.key, len(words), 0))
        self._fresh = []
        finished = [
            self._finished(key, "cancelled") for key in self._cancelled if key in self._running
        ]
        self._cancelled = []
        for key in self._take_due():
            request, made = self._running[key]
            _die_of(_asked(request).split(), made)
            outputs.append(Output(key, 1, (made,), self._text(made)))
            self._running[key] = (request, made + 1)
            if made + 1 >= request.sampling.max_tokens:
                finished.append(self._finished(key, "length"))
        self.send(
            Step(
                self._steps, tuple(admitted), tuple(outputs), tuple(finished),
                len(self._running), 0, len(outputs), 100,
            )
        )  # fmt: skip

    def _text(self, made: int) -> str:
        piece = PIECES[made % len(PIECES)] if self._unicode else ""
        return piece + self._word(made)

    def _take_due(self) -> list[int]:
        """Whose token this step makes; sets the time of the next step."""
        now_s = time.monotonic()
        if not self._staggered:
            self._due_s = max(self._due_s + self._interval_s, now_s)
            return list(self._running)
        due = []
        while self._line and self._line[0][0] <= now_s:
            due_s, key = heapq.heappop(self._line)
            if key in self._running:
                due.append(key)
                next_s = due_s + self._interval_s
                heapq.heappush(self._line, (max(next_s, now_s + 1e-6), key))
        self._due_s = self._line[0][0] if self._line else now_s
        return due

    def _finished(self, key: int, reason: str) -> Finished:
        request, made = self._running.pop(key)
        prompt_tokens = len(_asked(request).split())
        return Finished(key, reason, "", prompt_tokens, 0, made, 1.0, 1.0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--dies-loading", default="")
    parser.add_argument("--only-fast", action="store_true")
    parser.add_argument("--hangs-loading", action="store_true")
    parser.add_argument("--refuses", default="")
    words = parser.add_mutually_exclusive_group()
    words.add_argument("--stamps", action="store_const", dest="word", const=_stamp, default=_plain)
    words.add_argument("--says", type=lambda word: lambda _number: f"{word} ", dest="word")
    words.add_argument("--signed", action="store_const", dest="word", const=_signed)
    parser.add_argument("--unicode", action="store_true", help="words in many scripts")
    parser.add_argument("--staggered", action="store_true", help="not all in one step")
    parser.add_argument("--safe", action="store_true")
    # The real worker's other flags are taken and not used.
    return parser.parse_known_args()[0]


def main() -> None:
    """The script."""
    arguments = _arguments()
    dies = arguments.dies_loading
    if dies and not (arguments.safe and arguments.only_fast):
        print("the last words", file=sys.stderr, flush=True)  # noqa: T201  # stderr is the subject
        if dies.isdigit():
            sys.exit(int(dies))
        os.kill(os.getpid(), signal.Signals[dies])
    if arguments.hangs_loading:
        signal.pause()
    with socket.socket(fileno=arguments.fd) as pipe:
        engine = ScriptedEngine(
            pipe,
            arguments.rate,
            word=arguments.word,
            unicode=arguments.unicode,
            staggered=arguments.staggered,
        )
        if arguments.refuses:
            engine.send(LoadFailed(arguments.refuses))
            sys.exit(1)
        safe, slots = arguments.safe, arguments.slots
        engine.send(Ready("scripted", 0, 0, 100, 4_096, slots, safe, "a script", False))
        engine.serve()


if __name__ == "__main__":
    main()
