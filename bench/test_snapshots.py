"""What the snapshots of 100 streaming tasks cost in processor time.

Two runs in processes of their own do the same: tasks get their tokens, twenty a second each, on the
loop's thread. In one of them the tasks are marked as changed and a real journal writes them into a
real database, in the other not. What the first needs more, of all its threads and of user and
system time, is what snapshots cost: encoding on the loop, appending, committing and the database's
own checkpoints.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from uuid import UUID

import orjson
import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture

from edge.clock import SystemClock
from edge.services.task.journal import Journal
from edge.settings import Data
from edge.storage import Store
from edge.tasks import machine
from edge.tasks.events import Start
from edge.tasks.task import Options, Request, Task
from edge.telemetry import Event, Telemetry

TASKS = 100
STEPS_PER_S = 20
WORD = " word"
CLOCK = SystemClock()


class Streaming:
    """A task that generates; the journal writes it down."""

    __slots__ = ("task",)

    def __init__(self, number: int, tokens: int) -> None:
        request = Request(
            str(UUID(int=number, version=4)), "ada", "Tell me a story", None, None, Options()
        )
        self.task: Task = machine.accept(request, CLOCK.moment())[0]
        machine.apply(self.task, Start(), CLOCK.moment())
        self.task.output.append(WORD * tokens)
        self.task.tokens = [1_000 + at % 30_000 for at in range(tokens)]

    def written(self) -> None:
        """Its present version is on its way."""

    def step(self) -> None:
        number = len(self.task.tokens)
        machine.progress(self.task, 1, (1_000 + number % 30_000,), WORD, CLOCK.moment)


def cpu_s() -> float:
    """Processor time of all threads of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def stream(folder: Path, seconds: float, tokens: int, *, snapshots: bool) -> dict[str, float]:
    """One run, with tasks that have so many tokens at its start."""
    clock, telemetry = SystemClock(asyncio.get_running_loop()), Telemetry()
    store = await Store.open(folder / "edge.duckdb", telemetry=telemetry, clock=clock)
    rows = 0

    def count(event: Event) -> None:
        nonlocal rows
        if event.name == "store.committed":
            rows += int(str(event.fields["rows"]))

    telemetry.attach(count)
    journal = Journal(store, clock, Data().snapshot_ms)
    tasks = [Streaming(number, tokens) for number in range(TASKS)]
    for each in tasks:
        journal.record(each.task, "accepted", None)
    await store.commit([])
    rows = 0
    started_cpu_s, started_ns = cpu_s(), time.perf_counter_ns()
    for step in range(1, int(seconds * STEPS_PER_S) + 1):
        for each in tasks:
            each.step()
            if snapshots:
                journal.mark(each)
        due_ns = started_ns + step * 1_000_000_000 // STEPS_PER_S
        await asyncio.sleep(max(0, due_ns - time.perf_counter_ns()) / 1e9)
    await store.commit([])
    used_s, took_s = cpu_s() - started_cpu_s, (time.perf_counter_ns() - started_ns) / 1e9
    await store.close()
    return {"core_share": used_s / took_s, "rows_a_second": rows / took_s}


def in_a_process_of_its_own(seconds: float, tokens: int, *, snapshots: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        given = (folder, str(seconds), str(tokens), str(int(snapshots)))
        argv = (sys.executable, "-m", "bench.test_snapshots", *given)
        figures: dict[str, float] = orjson.loads(
            subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout
        )
    return figures


@pytest.mark.parametrize("tokens", [0, 1_000])
@pytest.mark.timeout(300)
def test_snapshots(benchmark: BenchmarkFixture, tokens: int) -> None:
    seconds = 30.0 if benchmark.enabled else 1.0
    without = in_a_process_of_its_own(seconds, tokens, snapshots=False)
    with_them = benchmark.pedantic(  # type: ignore[no-untyped-call]  # the plugin has no types
        lambda: in_a_process_of_its_own(seconds, tokens, snapshots=True), rounds=1, iterations=1
    )
    assert without["rows_a_second"] == 0
    assert with_them["rows_a_second"] > TASKS
    percent = 100 * (with_them["core_share"] - without["core_share"])
    figures = {
        "percent_of_a_core": round(percent, 2),
        "tasks_alone_percent": round(100 * without["core_share"], 2),
        "rows_a_second": round(with_them["rows_a_second"]),
    }
    benchmark.extra_info |= figures
    cells = " ".join(f"{name}={value}" for name, value in figures.items())
    sys.stdout.write(f"\nsnapshots of {TASKS} tasks from {tokens} tokens on: {cells}\n")


if __name__ == "__main__":
    folder, seconds, tokens, snapshots = sys.argv[1:]
    measured = uvloop.run(
        stream(Path(folder), float(seconds), int(tokens), snapshots=snapshots == "1")
    )
    sys.stdout.buffer.write(orjson.dumps(measured))
