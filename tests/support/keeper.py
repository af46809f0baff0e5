"""Keeps a node running that others kill: starts it, ends it, and hears what happens in it."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types

EVENT_S = 60.0
ORPHAN_S = 15.0


class NodeFailed(Exception):
    """The node ended though nobody killed it, or something did not happen in time."""


def has_ended(process: psutil.Process, within_s: float) -> bool:
    """Waits for somebody else's child. On Linux it has ended even if nobody has collected it."""
    if sys.platform != "linux":
        return not psutil.wait_procs([process], within_s)[1]
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], within_s)[0])
    finally:
        os.close(fd)


class Keeper:
    """One data directory and the node that serves it, in one process after another.

    ``flags`` are those of `tests.support.node_process`, ``settings`` environment variables without
    their prefix, ``wrapper`` a command that runs another one in its own process.
    """

    def __init__(
        self,
        data_dir: Path,
        *flags: str,
        settings: Mapping[str, object] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        self.data_dir = data_dir
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.url = ""
        self.engine_pid: int | None = None
        self._command = [
            *wrapper,
            *(sys.executable, "-m", "tests.support.node_process", str(data_dir), *flags),
        ]
        self._environment = os.environ | {
            f"ELWIFT_{name}": str(value) for name, value in (settings or {}).items()
        }
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._failed = False
        self._orphans: list[psutil.Process] = []
        self._news = asyncio.Condition()

    @property
    def pid(self) -> int:
        """The node's process, which has been started."""
        assert self._process is not None
        return self._process.pid

    async def spawn(self) -> None:
        """Starts a process; `up` waits until it serves."""
        self._failed = False
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.PIPE, env=self._environment
        )
        self._reader = asyncio.create_task(self._read(self._process))

    async def start(self) -> str:
        """Starts a process and waits until it serves; its URL."""
        await self.spawn()
        return await self.up()

    async def up(self) -> str:
        """The URL, once there is a node behind it."""
        await self._until(lambda: bool(self.url), "a node that serves")
        return self.url

    async def kill(self, number: int = signal.SIGKILL) -> None:
        """Ends the node; its children are left to themselves, and `orphans_gone` looks after them.

        It is halted first, so that it cannot have a child that we do not know.
        """
        process, reader = self._process, self._reader
        assert process is not None
        assert reader is not None
        self._process = None
        self.url, self.engine_pid = "", None
        if process.returncode is None:
            process.send_signal(signal.SIGSTOP)
            self._orphans += psutil.Process(process.pid).children()
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
        await process.wait()
        await reader

    async def close(self) -> None:
        """Ends the node, if there is one, and waits for all that it and others left behind."""
        if self._process is not None:
            await self.kill()
        await self.orphans_gone()

    async def orphans_gone(self) -> None:
        """Waits until all children of dead nodes have ended, by themselves. NodeFailed if not."""
        orphans, self._orphans = self._orphans, []
        for orphan in orphans:
            if not await asyncio.to_thread(has_ended, orphan, ORPHAN_S):
                orphan.kill()
                raise NodeFailed(f"left behind by its node, and still there: {orphan}")

    def signal_engine(self, number: int = signal.SIGKILL) -> bool:
        """Sends the signal to the engine; False when there is none at the moment."""
        pid = self.engine_pid
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    async def event(self, name: str, since: int = 0) -> dict[str, Any]:
        """The fields of the first event of this name after the first ``since`` of `events`."""
        await self._until(lambda: self.said(name, since), name)
        return next(fields for each, fields in self.events[since:] if each == name)

    def said(self, name: str, since: int = 0) -> bool:
        """Whether there was such an event."""
        return any(each == name for each, _ in self.events[since:])

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(EVENT_S), self._news:
                await self._news.wait_for(lambda: condition() or self._failed)
        except TimeoutError:
            sentence = f"no {what} within {EVENT_S:g} s; events: {self.events[-5:]}"
            raise NodeFailed(sentence) from None
        if not condition():
            raise NodeFailed(f"the node ended by itself; events: {self.events[-5:]}")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            name, fields = json.loads(line)
            if process is not self._process:
                continue  # the last words of one that we killed
            self.events.append((name, fields))
            if name == "node.started":
                self.url = fields["url"]
            elif name == "engine.started":
                self.engine_pid = fields["pid"]
            elif name == "engine.died":
                self.engine_pid = None
            async with self._news:
                self._news.notify_all()
        if process is self._process:
            self.url, self.engine_pid, self._failed = "", None, True
        async with self._news:
            self._news.notify_all()


@asynccontextmanager
async def kept(keeper: Keeper) -> AsyncIterator[Keeper]:
    """The node for the time of the block; all that it leaves behind ends by itself."""
    try:
        yield keeper
    finally:
        await keeper.close()
