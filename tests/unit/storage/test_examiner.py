"""A process that looks at a file: how it is started, waited for, and understood."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from edge.clock import NS_PER_MS, ManualClock
from edge.storage import examiner
from edge.storage.examiner import BEGUN, CHECK_MS, examine, meaning
from edge.storage.verdict import Found
from tests.support.damage import fill

SILENCE_MS = 60_000
GOOD = '{"verdict": "good", "reason": ""}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "edge.duckdb"


async def look(path: Path, clock: ManualClock | None = None) -> Found:
    return await examine(path, clock or ManualClock(), memory_mib_max=256, silence_ms=SILENCE_MS)


async def test_a_good_file_is_good(path: Path) -> None:
    fill(path)
    assert await look(path) == Found("good")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PYTHONPATH", "/nowhere"),
        ("PYTHONVERBOSE", "1"),
        ("PYTHONIOENCODING", "ascii"),
        ("LC_ALL", "C"),
        ("LANG", ""),
        ("TMPDIR", "/nowhere"),
        ("PYTHONINSPECT", "1"),
    ],
)
async def test_no_environment_speaks_against_a_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    fill(path)
    monkeypatch.setenv(name, value)
    assert await look(path) == Found("good")


async def test_what_lies_in_the_working_directory_is_not_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path)
    (tmp_path / "duckdb.py").write_text("raise RuntimeError('not this one')")
    monkeypatch.chdir(tmp_path)
    assert await look(path) == Found("good")


async def test_without_a_process_nothing_is_known(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> Any:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    found = await look(path)
    assert found.verdict == "not_looked_at"
    assert os.strerror(errno.EAGAIN) in found.reason


@pytest.mark.parametrize(
    ("returncode", "output", "errors", "verdict", "reason"),
    [
        (-6, BEGUN, "", "crashed", "crashed with signal 6"),
        (-11, BEGUN, "", "crashed", "crashed with signal 11"),
        (-4, "", "", "not_looked_at", "crashed with signal 4 before it had begun"),
        (-9, BEGUN, "", "not_looked_at", "ended with -9: no reason given"),
        (1, BEGUN, "Traceback …\nImportError: no\n", "not_looked_at", "ended with 1: ImportError"),
        (0, f"{BEGUN}\n{GOOD}", "", "good", ""),
        (0, f"what a site says\n{BEGUN}\n{GOOD}\n", "", "good", ""),
        (0, BEGUN, "", "not_looked_at", "did not say what it found"),
        (0, "", "", "not_looked_at", "did not say what it found"),
        (0, f'{BEGUN}\n{{"verdict": "good", "mood": "fine"}}', "", "not_looked_at", "did not say"),
    ],
)
def test_what_the_end_of_the_process_means(
    returncode: int, output: str, errors: str, verdict: str, reason: str
) -> None:
    found = meaning(returncode, output, errors)
    assert found.verdict == verdict
    assert reason in found.reason


class Children:
    """Processes that work or wait, in place of those that look at files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
        self.started: list[asyncio.subprocess.Process] = []
        self.there = asyncio.Event()
        whole = asyncio.create_subprocess_exec

        async def start(*_arguments: object, **options: Any) -> asyncio.subprocess.Process:
            child = await whole(sys.executable, "-c", code, **options)
            self.started.append(child)
            self.there.set()
            return child

        monkeypatch.setattr(asyncio, "create_subprocess_exec", start)


async def running(children: Children) -> None:
    """Until one has been started, and whoever did so waits for it."""
    await children.there.wait()
    await asyncio.sleep(0)


WAIT = "import signal; signal.pause()"


async def test_who_works_has_all_the_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children = Children(monkeypatch, WAIT)
    work = count()
    monkeypatch.setattr(examiner, "_work_of", lambda _pid: (next(work),))
    clock = ManualClock()
    looking = asyncio.create_task(look(path, clock))
    await running(children)
    for _ in range(100 * SILENCE_MS // CHECK_MS):
        clock.advance(CHECK_MS * NS_PER_MS)
        await asyncio.sleep(0)
    assert not looking.done()
    children.started[0].kill()
    assert (await looking).verdict == "not_looked_at"


async def test_who_comes_no_further_is_given_up_and_the_file_left(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = Children(monkeypatch, WAIT)
    monkeypatch.setattr(examiner, "_work_of", lambda _pid: (1.0,))
    clock = ManualClock()
    looking = asyncio.create_task(look(path, clock))
    await running(children)
    clock.advance((SILENCE_MS - 1) * NS_PER_MS)
    assert not looking.done()
    clock.advance(NS_PER_MS)
    found = await looking
    assert found == Found("not_looked_at", f"checking it has come no further for {SILENCE_MS} ms")
    assert await children.started[0].wait() == -9


async def test_who_is_cancelled_leaves_no_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = Children(monkeypatch, WAIT)
    looking = asyncio.create_task(look(path))
    await running(children)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert await children.started[0].wait() == -9


def test_how_much_a_process_has_worked_is_seen() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        before = examiner._work_of(child.pid)
        while examiner._work_of(child.pid) == before:
            pass
        child.kill()
        child.wait()
        assert examiner._work_of(child.pid) == ()
