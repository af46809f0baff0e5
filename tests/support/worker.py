"""The real worker process over its socket, without a node."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from edge.engine.messages import (
    Admitted,
    CacheUse,
    Finished,
    FrameReader,
    Generate,
    Loading,
    Message,
    Ping,
    Pong,
    Sampling,
    Step,
    Tokenising,
    encode,
)

GREEDY = Sampling(max_tokens=24, temperature=0, ignore_eos=True)


class Worker:
    """A worker process and what it said."""

    def __init__(self, model: Path, *flags: str) -> None:
        self.model = model
        self.pipe, theirs = socket.socketpair()
        self.pipe.settimeout(30)
        with theirs:
            fd = theirs.fileno()
            self.process = subprocess.Popen(
                [*command(model), "--fd", str(fd), "--slots", "4", *flags],
                pass_fds=[fd],
                stderr=subprocess.PIPE,
            )
        self._frames = FrameReader()
        self._unread: list[Message] = []
        self.steps: list[Step] = []
        self.tokenised: list[int] = []
        self.loaded: list[int] = []
        """Per cent of the model, as they were told."""

    def send(self, *messages: Message) -> None:
        self.pipe.sendall(b"".join(map(encode, messages)))

    def next(self) -> Message:
        """What it says next, of what is not kept here."""
        while not self._unread:
            data = self.pipe.recv(1 << 16)
            assert data, "the worker is gone"
            self._unread = self._frames.feed(data)
        message = self._unread.pop(0)
        if isinstance(message, Tokenising):
            self.tokenised.append(message.key)
            return self.next()
        if isinstance(message, Loading):
            self.loaded.append(message.percent)
            return self.next()
        if isinstance(message, Step):
            self.steps.append(message)
        return message

    def until_finished(self, *keys: int) -> dict[int, Finished]:
        ended: dict[int, Finished] = {}
        while not ended.keys() >= set(keys):
            message = self.next()
            assert isinstance(message, Step), message
            ended |= {each.key: each for each in message.finished}
        return ended

    def run(self, request: Generate) -> Finished:
        self.send(request)
        return self.until_finished(request.key)[request.key]

    def tokens(self, key: int) -> tuple[int, ...]:
        outputs = [each for step in self.steps for each in step.outputs if each.key == key]
        return tuple(token for each in outputs for token in each.tokens)

    def cache_use(self) -> CacheUse:
        """What it says of its caches; it has used them since it said so last."""
        self.send(Ping(1))
        use, pong = self.next(), self.next()
        assert isinstance(use, CacheUse), use
        assert isinstance(pong, Pong), pong
        return use

    def text(self, key: int) -> str:
        said = [each.text for step in self.steps for each in step.outputs if each.key == key]
        return "".join(said) + "".join(
            each.text for step in self.steps for each in step.finished if each.key == key
        )

    def admitted(self, key: int) -> Admitted:
        (found,) = [each for step in self.steps for each in step.admitted if each.key == key]
        return found

    def close(self) -> bytes:
        """Hangs up; what the process wrote on stderr."""
        self.pipe.close()
        try:
            return self.process.communicate(timeout=20)[1]
        finally:
            self.process.kill()
            self.process.wait()


def command(model: Path) -> list[str]:
    """The command line, but for the socket."""
    # Safe mode: the fast kernels may crash on the machine that tests run on.
    worker = [sys.executable, "-m", "edge.engine.worker", "--model", str(model)]
    return [*worker, "--threads", "1", "--safe"]


def ask(key: int, prompt: str, sampling: Sampling = GREEDY) -> Generate:
    return Generate(key, prompt, None, sampling)
