"""One worker process from start to end, with a Python one-liner in its place."""

from __future__ import annotations

import asyncio
import sys

import pytest

from edge.engine.messages import FromEngine, Generate, Ping, PipeError, Pong, Ready, Sampling
from edge.inference import process
from edge.inference.process import STDERR_TAIL_BYTES, Worker

SOCKET = "import socket, sys; pipe = socket.socket(fileno=int(sys.argv[1])); "
SPEAKING = SOCKET + "from edge.engine.messages import *; "
READY = "Ready('m', 1, 1, 1, 1, 1, False, '', False)"
UP = Ready("m", 1, 1, 1, 1, 1, False, "", False)


class Watch:
    """A worker that runs a line of Python, and all that it calls back."""

    def __init__(self, line: str, program: str = sys.executable) -> None:
        self.messages: list[FromEngine] = []
        self.pids: list[int] = []
        self.heard = asyncio.Event()
        self.exit: asyncio.Future[tuple[int | None, str]] = (
            asyncio.get_running_loop().create_future()
        )
        self.worker = Worker(
            (program, "-c", line, "{fd}"),
            on_started=self.pids.append,
            on_message=self._hear,
            on_exit=lambda code, reason: self.exit.set_result((code, reason)),
        )

    def _hear(self, message: FromEngine) -> None:
        self.messages.append(message)
        self.heard.set()


async def test_what_was_said_before_the_end_is_heard_before_the_end() -> None:
    pongs = f"pipe.sendall(encode({READY}) + b''.join(encode(Pong(n, n)) for n in range(5000)))"
    watch = Watch(SPEAKING + pongs)
    assert await watch.exit == (0, "the engine exited with status 0")
    assert watch.messages == [UP, *[Pong(n, n) for n in range(5_000)]]
    assert watch.pids == [watch.worker.pid]


async def test_messages_go_both_ways_until_a_kill() -> None:
    echo = f"pipe.sendall(encode({READY})); "
    echo += "pings = FrameReader().feed(pipe.recv(100)); "
    echo += "pipe.sendall(encode(Pong(pings[0].nonce, 1))); pipe.recv(1)"
    watch = Watch(SPEAKING + echo)
    await watch.heard.wait()
    watch.heard.clear()
    watch.worker.send(Ping(7))
    await watch.heard.wait()
    assert watch.messages == [UP, Pong(7, 1)]
    watch.worker.kill()
    assert await watch.exit == (-9, "the engine was ended by SIGKILL")
    watch.worker.kill()
    watch.worker.send(Ping(8))


async def test_the_last_words_are_kept_within_limits() -> None:
    watch = Watch(f"import sys; sys.stderr.write('x' * {STDERR_TAIL_BYTES * 9}); "
                  "sys.exit('so long')")  # fmt: skip
    code, reason = await watch.exit
    assert code == 1
    assert reason.endswith("so long")
    assert len(reason) < 300


async def test_words_without_end_are_cut_and_hold_nobody_up() -> None:
    words = f"pipe.sendall(encode({READY}))\nwhile True: sys.stderr.write('x' * 100_000)"
    watch = Watch(f"{SPEAKING}\n{words}")
    await watch.heard.wait()
    watch.worker.kill()
    code, reason = await watch.exit
    assert code == -9
    assert len(reason) < 300


async def test_an_end_is_an_end_even_if_a_child_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It holds on to the worker's pipe and to its error output."""
    monkeypatch.setattr(process, "EXIT_GRACE_S", 0.1)
    monkeypatch.setattr(process, "LAST_WORDS_S", 0.1)
    watch = Watch(f"{SOCKET}\nimport os\nif os.fork() == 0: pipe.recv(1)\nelse: os._exit(3)")
    assert (await watch.exit)[0] == 3


async def test_half_a_frame_at_the_end_is_no_message() -> None:
    watch = Watch(SOCKET + "pipe.sendall(b'\\0\\0\\0\\x09[')")
    assert (await watch.exit)[0] == 0
    assert watch.messages == []


async def test_garbage_is_the_end() -> None:
    watch = Watch(SOCKET + "pipe.sendall(b'\\xff' * 100); pipe.recv(1)")
    code, reason = await watch.exit
    assert code == -9
    assert reason.startswith("the engine sent garbage: ")


@pytest.mark.parametrize("said", ["Pong(1, 1)", f"{READY}, {READY}", f"{READY}, LoadFailed('no')"])
async def test_what_is_said_out_of_turn_is_garbage(said: str) -> None:
    watch = Watch(f"{SPEAKING}pipe.sendall(b''.join(map(encode, ({said},)))); pipe.recv(1)")
    code, reason = await watch.exit
    assert code == -9
    assert reason.endswith("out of turn")
    assert watch.messages == ([UP] if said.startswith(READY) else [])


async def test_a_kill_before_the_start_is_a_kill() -> None:
    watch = Watch(SOCKET + "pipe.recv(1)")
    watch.worker.kill()
    assert (await watch.exit)[0] == -9


async def test_a_program_that_is_not_there_is_an_exit_without_a_code() -> None:
    code, reason = await Watch("", program="/nonexistent/python").exit
    assert code is None
    assert reason.startswith("the engine process cannot be run: ")


async def test_what_cannot_be_encoded_is_refused_and_nothing_is_sent() -> None:
    watch = Watch("")
    with pytest.raises(PipeError):
        watch.worker.send(Generate(1, "\ud800", None, Sampling()))
    await watch.exit
