"""The actor of a task as a whole: nothing of it outlives the task.

The collector is off here. In the node what `gc.freeze` has seen is never looked at by it again, and
what it has not seen waits for it: a task that is in no circle goes the moment it is over.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from edge.actors import ActorDown, Crash, Down, Ref, Reply
from edge.actors.child import Child, ChildSpec
from edge.clock import NS_PER_MS
from edge.engine.messages import Rejected
from edge.errors import Conflict, StorageError
from edge.inference import Run
from edge.phoenix.effects import Subscription
from edge.services.task.actor import TaskActor
from edge.services.task.audience import Audience
from edge.services.task.current_turn import CurrentTurn
from edge.services.task.end_commit import WRITE_AGAIN_MS, Committed, EndCommit
from edge.services.task.live_task import LiveTask
from edge.services.task.messages import Describe
from edge.services.task.turns import Turn
from edge.services.watchers.mine_channel import MINE_TOPIC, MineChannel
from edge.services.watchers.task_channel import TaskChannel
from edge.storage import StoredTask
from edge.tasks.task import TERMINAL, Options, Request, Snapshot, Task
from tests.support.census import alive, without_collector
from tests.support.rows import uid
from tests.support.sockets import Client
from tests.support.workshop import KEEP_MS, Workshop

TASKS = 1_000
FEW = 20
OF_A_TASK = (
    TaskActor, EndCommit, CurrentTurn, LiveTask, Audience, Child, ChildSpec, Ref, Task, Snapshot,
    Request, Committed, Turn, Run, Reply, Down, TaskChannel, MineChannel, Subscription, Client,
    Conflict, ActorDown,
)  # fmt: skip


@pytest.fixture
async def shop() -> Workshop:
    shop = Workshop(pumped=True)
    shop.work()
    return shop


@pytest.fixture(autouse=True)
def uncollected() -> Iterator[None]:
    with without_collector():
        yield


def advance(shop: Workshop, ms: int) -> None:
    shop.clock.advance(ms * NS_PER_MS)
    shop.work()


def expire(shop: Workshop) -> None:
    """All that has ended goes, and with it what is there once in all, such as the engine's runs."""
    advance(shop, KEEP_MS)
    assert shop.tasks.of_client("ada") == {}.keys()
    assert shop.engine.runs == {}
    shop.events.clear()


def joined(shop: Workshop, number: int) -> Client:
    socket = shop.socket(f"task:{uid(number)}")
    socket.send("1", "phx_join", {})
    socket.run()
    return socket


async def run_and_end(shop: Workshop, number: int) -> None:
    await shop.submit(number)
    shop.output(number, "Once ")
    shop.finish(number)


async def be_watched(shop: Workshop, number: int) -> None:
    await shop.submit(number)
    stays, goes = joined(shop, number), joined(shop, number)
    shop.output(number, "Once ")
    goes.lose()
    shop.finish(number)
    assert stays.run()


async def be_followed(shop: Workshop, number: int) -> None:
    socket = shop.socket(MINE_TOPIC)
    socket.send("1", "phx_join", {"offsets": {uid(0): 3}})
    await shop.fetch()
    await shop.submit(number)
    shop.output(number, "Once ")
    shop.finish(number)
    assert socket.run()
    socket.lose()
    shop.work()


async def fail_and_be_retried(shop: Workshop, number: int) -> None:
    await shop.submit(number)
    run = shop.engine.runs.pop(str(number))
    run.reply_to.send(Rejected(run.request.key, "engine_error", "it cannot", True))
    shop.work()
    advance(shop, 2_000)
    shop.finish(number)
    await shop.tasks.retry(uid(number), "ada")
    shop.work()
    shop.finish(number)


async def be_cancelled_while_executing(shop: Workshop, number: int) -> None:
    await shop.submit(number)
    shop.output(number, "Once ")
    await shop.tasks.cancel(uid(number), "ada")
    del shop.engine.runs[str(number)]


async def be_cancelled_too_late(shop: Workshop, number: int) -> None:
    await run_and_end(shop, number)
    with pytest.raises(Conflict):
        await shop.tasks.cancel(uid(number), "ada")


async def crash_while_executing(shop: Workshop, number: int) -> None:
    await shop.submit(number)
    shop.output(number, "Once ")
    socket = joined(shop, number)
    shop.crash(number)
    shop.finish(number)
    assert socket.run()


async def crash_until_given_up(shop: Workshop, number: int) -> None:
    await shop.submit(number)
    for _ in range(4):
        shop.crash(number)
    shop.engine.runs.clear()


async def die_before_it_answers(shop: Workshop, number: int) -> None:
    await shop.submit(number)
    ref = shop.tasks.live(uid(number))
    assert ref is not None
    asked = asyncio.ensure_future(ref.call(Describe(), deadline_ms=1_000))
    await asyncio.sleep(0)
    ref.kill(Crash(RuntimeError("asked to")))
    # Awaited by itself its error would hold this frame, which holds it.
    (outcome,) = await asyncio.gather(asked, return_exceptions=True)
    assert type(outcome) is ActorDown
    del outcome
    shop.ask("cancel", number)
    shop.engine.runs.clear()


async def end_on_a_disk_that_refuses(shop: Workshop, number: int) -> None:
    await shop.submit(number)
    shop.shelf.durable, shop.shelf.refusal = False, StorageError("no space left")
    shop.finish(number)
    advance(shop, WRITE_AGAIN_MS)
    shop.shelf.durable, shop.shelf.refusal = True, None
    advance(shop, WRITE_AGAIN_MS)


@pytest.mark.parametrize(
    ("live", "tasks"),
    [
        (run_and_end, TASKS),
        (be_watched, FEW),
        (be_followed, FEW),
        (fail_and_be_retried, FEW),
        (be_cancelled_while_executing, FEW),
        (be_cancelled_too_late, FEW),
        (crash_while_executing, FEW),
        (crash_until_given_up, FEW),
        (die_before_it_answers, FEW),
        (end_on_a_disk_that_refuses, FEW),
    ],
)
async def test_nothing_is_left_of_a_task(shop: Workshop, live: object, tasks: int) -> None:
    assert callable(live)
    before = alive(*OF_A_TASK)
    for number in range(tasks):
        await live(shop, number)
    expire(shop)
    await asyncio.sleep(0)
    assert alive(*OF_A_TASK) - before == Counter()


async def test_nothing_is_left_of_tasks_that_were_brought_back(shop: Workshop) -> None:
    for number in range(TASKS):
        await shop.submit(number)
    rows, specs = dict(shop.shelf.rows), dict(shop.shelf.specs)
    again = Workshop(pumped=True)
    before = alive(*OF_A_TASK)
    again.shelf.left_behind = [
        StoredTask(
            row.task_id, row.version, row.state, 0, specs[row.task_id], row.snapshot, row.client
        )
        for row in rows.values()
        if row.state not in TERMINAL
    ]
    assert await again.tasks.recover() == TASKS
    again.work()
    gc.freeze()
    assert (alive(*OF_A_TASK) - before)["TaskActor"] == TASKS
    while again.engine.runs:
        for prompt in tuple(again.engine.runs):
            again.finish(int(prompt))
    expire(again)
    assert alive(*OF_A_TASK) - before == Counter()


def test_one_with_a_request_of_its_own_is_what_is_counted() -> None:
    """The count sees what is there, hidden from the collector or not."""
    before = alive(Request)
    kept = Request(uid(1), "ada", "hi", None, None, Options())
    gc.freeze()
    assert alive(Request) - before == Counter({"Request": 1})
    assert kept.client == "ada"
