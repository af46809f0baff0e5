"""Has a process of its own look at a database file, and makes out what its end means.

That may take long: a log of some gigabytes on a memory card is replayed for many minutes. So there
is no limit to it as long as the process works; one that has done nothing for a while waits for a
disk that does not answer, and is given up, which says nothing about the file.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]  # it ships no types

from edge.clock import NS_PER_MS, Clock, Timer
from edge.storage.verdict import Found

BEGUN: Final = "begun"
"""What the process says right before it touches the file; what it dies of before is its own."""

CHECK_MS: Final = 1_000

# Who ended by one of these did so by its own doing. Any other end, such as by SIGKILL for want of
# memory, says nothing about the file.
_CRASHES: Final = frozenset(
    {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
)


async def examine(path: Path, clock: Clock, *, memory_mib_max: int, silence_ms: int) -> Found:
    """What a look at the file says, within so much memory of DuckDB's: 0 leaves it to DuckDB, which
    takes most of the machine's. Raises nothing; whoever is cancelled ends the process, too."""
    house = str(Path(__file__).parents[2])
    paths = [house, *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        child = await asyncio.create_subprocess_exec(
            # -P: what lies in the working directory is none of ours.
            *(sys.executable, "-P", "-m", "edge.storage.probe", str(path), str(memory_mib_max)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
    except OSError as error:
        return Found("not_looked_at", f"no process to check it could be started: {error}")
    said = asyncio.ensure_future(child.communicate())
    silence = _Silence(child.pid, clock, silence_ms)
    try:
        words: set[asyncio.Future[Any]] = {said, silence.over}
        await asyncio.wait(words, return_when=asyncio.FIRST_COMPLETED)
        if not said.done():
            # It may be in the middle of a call that cannot be ended, so nobody waits for it.
            return Found("not_looked_at", f"checking it has come no further for {silence_ms} ms")
        output, errors = said.result()
    finally:
        silence.end()
        if not said.done():
            child.kill()
            said.cancel()
    assert child.returncode is not None, "it has said its last word"
    return meaning(child.returncode, *(each.decode(errors="replace") for each in (output, errors)))


def meaning(returncode: int, output: str, errors: str) -> Found:
    """What it means that the process ended so, and said this. Pure."""
    lines = output.splitlines()
    last = (errors.strip().splitlines() or ["no reason given"])[-1]
    if -returncode in _CRASHES:
        if BEGUN in lines:
            return Found("crashed", f"opening it crashed with signal {-returncode}")
        reason = f"the check crashed with signal {-returncode} before it had begun"
        return Found("not_looked_at", reason)
    if returncode != 0:
        return Found("not_looked_at", f"the check ended with {returncode}: {last}")
    try:
        return Found(**json.loads(lines[-1]))
    except (IndexError, ValueError, TypeError):
        return Found("not_looked_at", f"the check did not say what it found: {last}")


class _Silence:
    """``over`` once the process has come no further for ``silence_ms``."""

    def __init__(self, pid: int, clock: Clock, silence_ms: int) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pid = pid
        self._clock = clock
        self._silence_ns = silence_ms * NS_PER_MS
        self._check_ns = min(CHECK_MS, silence_ms) * NS_PER_MS
        self._work = _work_of(pid)
        self._heard_ns = clock.now_ns()
        self._timer: Timer = clock.call_after(self._check_ns, self._check)

    def _check(self) -> None:
        now_ns, work = self._clock.now_ns(), _work_of(self._pid)
        if work != self._work:
            self._work, self._heard_ns = work, now_ns
        if now_ns - self._heard_ns >= self._silence_ns:
            self.over.set_result(None)
        else:
            self._timer = self._clock.call_after(self._check_ns, self._check)

    def end(self) -> None:
        self._timer.cancel()


def _work_of(pid: int) -> tuple[float, ...]:
    """How much of the processor it has used, and how often it has read and written where that can
    be known: not on macOS. A read that a bad disk needs a minute for uses none of the processor."""
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        counters = process.io_counters() if hasattr(process, "io_counters") else ()
    except psutil.Error:
        return ()
    return (times.user, times.system, *counters)
