"""A gigabyte of requests waits when the node is killed: the next one has all of them, and the one
after that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import aiohttp
import pytest

from edge.clock import ManualClock
from edge.node import DATABASE
from edge.services.task.journal import Journal
from edge.storage import Row, StoreOptions
from edge.storage.database import Database
from edge.tasks import machine
from edge.tasks.task import Options, Request
from tests.support.keeper import Keeper, kept
from tests.support.rows import uid

REQUEST_BYTES = 300_000
TASKS = 3_600
IDLE = ("--rate", "1", "--slots", "1")

HELD_MIB = TASKS * REQUEST_BYTES >> 20
NODE_MIB = 400
"""The node without tasks, with room for what a page and its tasks take while they are made."""


class Rows:
    """A store that hands on what it is to write."""

    durable = True

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def write(self, rows: list[Row], done: object = None) -> bool:
        self.rows += rows
        return True


def fill_and_die(folder: str) -> None:
    """Accepts the tasks as a node does, and is killed."""
    database = Database(Path(folder) / DATABASE, memory_mib_max=StoreOptions().memory_mib_max)
    clock, store, rng = ManualClock(), Rows(), Random(1)
    journal = Journal(store, clock, 1_000)  # type: ignore[arg-type]  # as much of a store as it needs
    for number in range(TASKS):
        prompt = rng.randbytes(REQUEST_BYTES // 2).hex()
        request = Request(uid(number), "local", prompt, None, None, Options())
        task, _ = machine.accept(request, clock.moment())
        journal.record(task, "accepted", None)
        if number % 50 == 49:
            database.append(store.rows)
            database.fold_log()
            store.rows.clear()
    os._exit(0)


def peak_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (each for each in status.splitlines() if each.startswith("VmHWM:"))
    return int(line.split()[1]) >> 10


@pytest.fixture
def left_behind(tmp_path: Path) -> Path:
    code = "import sys; from tests.fault.test_gigabyte import fill_and_die as f; f(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="how much memory was used is read from /proc")
@pytest.mark.timeout(600)
async def test_a_gigabyte_of_waiting_requests_is_there_after_a_kill(left_behind: Path) -> None:
    async with kept(Keeper(left_behind, *IDLE)) as keeper:
        for _ in range(2):
            since = len(keeper.events)
            url = await keeper.start()
            assert not keeper.said("store.quarantined", since)
            opened = await keeper.event("store.opened", since)
            assert opened["tasks_unfinished"] == TASKS
            async with aiohttp.ClientSession(url) as http:
                for number in (0, 1, TASKS // 2, TASKS - 1):
                    async with http.get(f"/tasks/{uid(number)}") as answer:
                        task = await answer.json()
                        assert task["state"] in ("available", "executing")
                        assert len(task["prompt"]) == REQUEST_BYTES
                async with http.get("/healthz") as answer:
                    assert (await answer.json())["quarantined"] is None
            assert peak_mib(keeper.pid) < HELD_MIB + StoreOptions().memory_mib_max + NODE_MIB
            await keeper.kill()
            await keeper.orphans_gone()
