"""How long a node with many queued tasks takes to bring them back, and what each costs in memory.

The time is that of a start in a fresh process, from opening the file (which a child process looks
at first) to the last task in its place in the line; the engine is not needed for it. Memory is
measured twice: what a task adds that is submitted to a running node, less the pages of the file
that DuckDB keeps of it; and what the process has grown by after a recovery, which includes what
was needed to read the file and is free again.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tempfile
import time
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
from edge.services.audience import Followers
from edge.services.dispatcher import Board, Dispatcher
from edge.services.journal import Journal
from edge.services.surroundings import Surroundings
from edge.services.tasks import Tasks
from edge.storage import Store
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


class House:
    """The node but for its engine and its sockets."""

    def __init__(self, store: Store, clock: SystemClock, telemetry: Telemetry) -> None:
        self.store = store
        self.system = System(clock, asyncio.get_running_loop().call_soon, on_event=telemetry.emit)
        self.board = Board(10_000_000)
        journal = Journal(store, clock, 500)
        around = Surroundings(
            board=self.board, journal=journal, telemetry=telemetry, retry=RetryPolicy(),
            rng=Random(0), followers=Followers(), finished_keep_ms=60_000,
            dispatcher_name="dispatcher", on_ended=lambda _task_id: None,
        )  # fmt: skip
        self.system.spawn(Dispatcher(self.board, "engine", 250), name="dispatcher")
        supervisor = Supervisor(budget="child")
        self.system.spawn(supervisor, name="tasks")
        self.tasks = Tasks(self.system, supervisor, store, journal, around, 10_000_000)

    @classmethod
    async def open(cls, folder: Path) -> House:
        telemetry, clock = Telemetry(), SystemClock(asyncio.get_running_loop())
        store = await Store.open(folder / "edge.duckdb", telemetry=telemetry, clock=clock)
        return cls(store, clock, telemetry)

    def database_bytes(self) -> int:
        """What DuckDB says that it holds: above all pages of the file, which it can let go."""
        sql = "SELECT sum(memory_usage_bytes)::BIGINT FROM duckdb_memory()"
        return int(self.store._database.read(sql)[0][0])

    def line_up(self) -> None:
        """Until all tasks stand in the line."""
        self.system.run_pending()


def resident_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


async def fill(folder: Path, tasks: int) -> dict[str, float]:
    """Submits the tasks; what they cost in memory."""
    house = await House.open(folder)
    in_flight = asyncio.Semaphore(IN_FLIGHT)

    async def submit(number: int) -> None:
        async with in_flight:
            await house.tasks.submit(request(number), own_id=False)

    await submit(0)
    before_bytes, before_database_bytes = resident_bytes(), house.database_bytes()
    for first in range(1, tasks, 1_000):
        await asyncio.gather(*map(submit, range(first, min(first + 1_000, tasks))))
    house.line_up()
    assert len(house.board.queue) == tasks
    grown_bytes = resident_bytes() - before_bytes
    database_bytes = house.database_bytes() - before_database_bytes
    await house.store.close()
    return {
        "submitted_bytes_a_task": round((grown_bytes - database_bytes) / tasks),
        "its_pages_in_database_memory_bytes": round(database_bytes / tasks),
    }


async def recover(folder: Path, tasks: int) -> dict[str, float]:
    """Brings the tasks back, as a node's start does it."""
    before_bytes = resident_bytes()
    started_ns, started_cpu_s = time.perf_counter_ns(), time.process_time()
    house = await House.open(folder)
    opened_ns = time.perf_counter_ns()
    gc.disable()
    assert await house.tasks.recover() == tasks
    house.line_up()
    ended_ns = time.perf_counter_ns()
    cpu_s = time.process_time() - started_cpu_s
    gc.enable()
    assert len(house.board.queue) == tasks
    grown_bytes = resident_bytes() - before_bytes
    await house.store.close()
    return {
        "recovery_s": round((ended_ns - started_ns) / 1e9, 2),
        "of_it_opening_s": round((opened_ns - started_ns) / 1e9, 2),
        "cpu_s": round(cpu_s, 2),
        "resident_bytes_a_task": round(grown_bytes / tasks),
    }


def in_a_process_of_its_own(what: str, folder: Path, tasks: int) -> dict[str, float]:
    """Runs `fill` or `recover`."""
    argv = (sys.executable, "-m", "bench.test_recovery", what, str(folder), str(tasks))
    ended = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    figures: dict[str, float] = orjson.loads(ended.stdout)
    return figures


@pytest.mark.timeout(600)
def test_recovery(benchmark: BenchmarkFixture) -> None:
    tasks = 100_000 if benchmark.enabled else 500
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = in_a_process_of_its_own("fill", folder, tasks)
        figures |= benchmark.pedantic(  # type: ignore[no-untyped-call]  # the plugin has no types
            lambda: in_a_process_of_its_own("recover", folder, tasks), rounds=1, iterations=1
        )
    benchmark.extra_info |= figures
    cells = " ".join(f"{name}={value}" for name, value in figures.items())
    sys.stdout.write(f"\n{tasks} queued tasks: {cells}\n")


if __name__ == "__main__":
    run = fill if sys.argv[1] == "fill" else recover
    measured = uvloop.run(run(Path(sys.argv[2]), int(sys.argv[3])))
    sys.stdout.buffer.write(orjson.dumps(measured))
