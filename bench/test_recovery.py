"""How long a node with many queued tasks takes to bring them back, and what each costs in memory.

The time is that of a start in a fresh process, from opening the file (which a child process looks
at first) to the last task in its place in the line; the engine is not needed for it. Memory is
measured twice: what a task adds that is submitted to a node, without what the database keeps of it
in its own; and what the process has grown by after a recovery, which includes the database, and
what was needed to read the file and is free again.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random
from uuid import UUID

import orjson
import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture

from edge.actors import Supervisor, System
from edge.clock import SystemClock
from edge.services.task.audience import Followers
from edge.services.task.ends import Ends
from edge.services.task.journal import Journal
from edge.services.task.live_task import Dependencies
from edge.services.task.tasks import Tasks
from edge.services.task.turns import Turns
from edge.storage import Row, Store, StoredTask
from edge.storage.backlog import Done
from edge.tasks.retry import RetryPolicy
from edge.tasks.task import Options, Request, request_from_json
from edge.telemetry import Telemetry

CLIENTS = 10
IN_FLIGHT = 200


def request(number: int) -> Request:
    """One of a hundred characters, as it comes out of JSON: it shares nothing with another."""
    prompt = f"Write a story about a brave little fox who lives in house number {number} of a wood"
    made = Request(
        str(UUID(int=number, version=4)), f"client{number % CLIENTS}", prompt.ljust(100, "."),
        None, None, Options(), priority=number % 3,
    )  # fmt: skip
    return request_from_json(made.to_json())


class Nowhere:
    """A store that keeps nothing and takes no memory."""

    durable = True

    def write(self, _rows: Sequence[Row], done: Done | None = None) -> bool:
        if done is not None:
            asyncio.get_running_loop().call_soon(done, None)
        return True

    async def unfinished(self) -> AsyncIterator[list[StoredTask]]:
        yield []

    async def get(self, _task_id: str, *, asker: str = "") -> StoredTask | None:
        return None

    async def find_idempotent(self, _client: str, _key: str) -> str | None:
        return None


class House:
    """The node but for its engine and its sockets."""

    def __init__(self, store: Store | Nowhere, clock: SystemClock, telemetry: Telemetry) -> None:
        self.system = System(clock, asyncio.get_running_loop().call_soon, on_event=telemetry.emit)
        self.turns = Turns(self.system, waiting_max=10_000_000, step_ms=20_000)
        journal = Journal(store, clock, 500)
        deps = Dependencies(
            turns=self.turns, journal=journal, telemetry=telemetry, retry=RetryPolicy(),
            rng=Random(0), followers=Followers(), ends=Ends(), finished_keep_ms=60_000,
            on_ended=lambda _task_id: None, on_opened=lambda _request: None,
            on_closed=lambda _request: None,
        )  # fmt: skip
        supervisor = Supervisor(budget="child")
        self.system.spawn(supervisor, name="tasks")
        self.tasks = Tasks(
            self.system,
            supervisor,
            store,
            journal,
            deps,
            queue_per_client_max=10_000_000,
            held_bytes_max=1 << 50,
        )

    def line_up(self) -> None:
        """Until all tasks stand in the line."""
        self.system.run_pending()


def resident_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


async def open_store(folder: Path) -> tuple[Store, SystemClock, Telemetry]:
    telemetry, clock = Telemetry(), SystemClock(asyncio.get_running_loop())
    path = folder / "edge.duckdb"
    return await Store.open(path, telemetry=telemetry, clock=clock), clock, telemetry


async def submit(house: House, tasks: int) -> None:
    """Submits so many, some of them side by side."""
    for first in range(0, tasks, IN_FLIGHT):
        numbers = range(first, min(first + IN_FLIGHT, tasks))
        await asyncio.gather(*(house.tasks.submit(request(n), own_id=False) for n in numbers))
    house.line_up()
    assert house.turns.waiting == tasks


async def weigh(_folder: Path, tasks: int) -> dict[str, float]:
    """What tasks cost in memory that are submitted to a node; the database's is not counted."""
    house = House(Nowhere(), SystemClock(asyncio.get_running_loop()), Telemetry())
    before_bytes = resident_bytes()
    await submit(house, tasks)
    return {"bytes_a_task": round((resident_bytes() - before_bytes) / tasks)}


async def fill(folder: Path, tasks: int) -> dict[str, float]:
    """Submits tasks that are there for `recover`."""
    store, clock, telemetry = await open_store(folder)
    await submit(House(store, clock, telemetry), tasks)
    await store.close()
    return {}


async def recover(folder: Path, tasks: int) -> dict[str, float]:
    """Brings the tasks back, as a node's start does it."""
    before_bytes = resident_bytes()
    started_ns, started_cpu_s = time.perf_counter_ns(), time.process_time()
    store, clock, telemetry = await open_store(folder)
    house = House(store, clock, telemetry)
    opened_ns = time.perf_counter_ns()
    gc.disable()
    assert await house.tasks.recover() == tasks
    house.line_up()
    ended_ns = time.perf_counter_ns()
    cpu_s = time.process_time() - started_cpu_s
    gc.enable()
    assert house.turns.waiting == tasks
    grown_bytes = resident_bytes() - before_bytes
    await store.close()
    return {
        "recovery_s": round((ended_ns - started_ns) / 1e9, 2),
        "of_it_opening_s": round((opened_ns - started_ns) / 1e9, 2),
        "cpu_s": round(cpu_s, 2),
        "process_grown_by_bytes_a_task": round(grown_bytes / tasks),
    }


def in_a_process_of_its_own(what: str, folder: Path, tasks: int) -> dict[str, float]:
    """Runs `weigh`, `fill` or `recover`."""
    argv = (sys.executable, "-m", "bench.test_recovery", what, str(folder), str(tasks))
    ended = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    figures: dict[str, float] = orjson.loads(ended.stdout)
    return figures


@pytest.mark.timeout(600)
def test_recovery(benchmark: BenchmarkFixture) -> None:
    tasks = 100_000 if benchmark.enabled else 500
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = in_a_process_of_its_own("weigh", folder, tasks)
        in_a_process_of_its_own("fill", folder, tasks)
        figures |= benchmark.pedantic(  # type: ignore[no-untyped-call]  # the plugin has no types
            lambda: in_a_process_of_its_own("recover", folder, tasks), rounds=1, iterations=1
        )
    benchmark.extra_info |= figures
    cells = " ".join(f"{name}={value}" for name, value in figures.items())
    sys.stdout.write(f"\n{tasks} queued tasks: {cells}\n")


if __name__ == "__main__":
    run = {"weigh": weigh, "fill": fill, "recover": recover}[sys.argv[1]]
    measured = uvloop.run(run(Path(sys.argv[2]), int(sys.argv[3])))
    sys.stdout.buffer.write(orjson.dumps(measured))
