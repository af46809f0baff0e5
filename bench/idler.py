"""Many sockets that do nothing but sit in a channel and, when asked, send heartbeats.

As a script, ``python -m bench.idler URL SOCKETS TOPIC…``: opens the sockets, each joins one of the
topics, and prints ``joined``. Then it obeys lines: ``single N`` sends N heartbeats, each after the
answer to the one before, and prints the round trips in microseconds; ``all`` sends one on every
socket and prints the milliseconds until all are answered, and how many of them this process was at
work itself.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import orjson
import uvloop

from bench.watcher import Connection, connect, masked

HEARTBEAT = masked('[null,"7","phoenix","heartbeat",{}]')
AT_ONCE = 100


class Idler(Connection):
    """One socket; ``answered`` is called for every frame that it gets."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.answered: Callable[[], object] = lambda: None

    def hear(self, frame: bytes, now_ns: int) -> None:
        assert b'"status":"ok"' in frame, frame
        self.answered()


async def answer(idler: Idler, data: bytes) -> None:
    """Sends and waits for one frame."""
    heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    idler.answered = lambda: heard.set_result(None)
    idler.transport.write(data)
    await heard


async def single(idlers: list[Idler], count: int) -> list[float]:
    """Round trips of heartbeats, one at a time, on sockets far from each other."""
    trips_us = []
    for number in range(count):
        started_ns = time.monotonic_ns()
        await answer(idlers[number * 7919 % len(idlers)], HEARTBEAT)
        trips_us.append((time.monotonic_ns() - started_ns) / 1e3)
    return trips_us


async def all_at_once(idlers: list[Idler]) -> list[float]:
    """Milliseconds from the first heartbeat's leaving to the last one's answer; and of this
    process's own work meanwhile."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left = len(idlers)

    def answered() -> None:
        nonlocal left
        left -= 1
        if not left:
            over.set_result(None)

    for idler in idlers:
        idler.answered = answered
    started_ns, worked_ns = time.monotonic_ns(), time.process_time_ns()
    for idler in idlers:
        idler.transport.write(HEARTBEAT)
    await over
    ends_ns = time.monotonic_ns() - started_ns, time.process_time_ns() - worked_ns
    return [each_ns / 1e6 for each_ns in ends_ns]


async def main(url: str, sockets: int, topics: list[str]) -> None:
    """The script."""
    limit = asyncio.Semaphore(AT_ONCE)
    idlers = [Idler(urlsplit(url).netloc) for _ in range(sockets)]
    async with asyncio.TaskGroup() as group:

        async def one(idler: Idler, topic: str) -> None:
            async with limit:
                await connect(url, idler)
                await answer(idler, masked(f'["1","1","{topic}","phx_join",{{}}]'))

        for number, idler in enumerate(idlers):
            group.create_task(one(idler, topics[number % len(topics)]))
    gc.collect()
    gc.freeze()
    say("joined")
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, *count = line.split()
        if name == "single":
            say(orjson.dumps(await single(idlers, int(count[0]))).decode())
        else:
            say(orjson.dumps(await all_at_once(idlers)).decode())


def say(line: str) -> None:
    """A line for the parent process."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
