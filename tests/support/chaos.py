"""Kills a node and its engine again and again under load; who submitted must not notice."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

from edge.node import DATABASE
from tests.support.keeper import Keeper, kept
from tests.support.ledger import COUNT, Verdict
from tests.support.load import Load, read_back

SETTINGS = {
    "MODEL__RESTART_BASE_MS": 1,
    "MODEL__RESTART_MAX_MS": 1,
    "MODEL__DEATHS_MAX": 1_000_000,
    # Some ends are read from memory, some from the database.
    "TASKS__FINISHED_KEEP_MS": 300,
    "TASKS__RETRY_BASE_MS": 1,
    "TASKS__RETRY_MAX_MS": 1,
    "DATA__SNAPSHOT_MS": 200,
    "SERVER__DRAIN_MS": 300,
}
SCRIPTED = ("--rate", "100", "--slots", "8", "--signed", "--unicode")
BODY: dict[str, object] = {"prompt": COUNT, "fallback": False, "max_attempts": 1_000}
STORY: dict[str, object] = {"prompt": "Write a story about a brave little fox", "ignore_eos": True}

START_S = 1.5
"""About as long as a node takes to start on a busy machine."""

BEATS_MAX = 60
"""Messages that clients hear between two kills, at most."""


class Killer:
    """One seed's faults, one after the other. ``kills`` counts the processes that were killed; a
    node that is stopped in order now and then does not count. `progress` is told how many they
    are."""

    def __init__(
        self, keeper: Keeper, load: Load, rng: Random, progress: Callable[[int], object]
    ) -> None:
        self.kills: Counter[str] = Counter()
        self._progress = progress
        self._keeper = keeper
        self._load = load
        self._rng = rng
        self._faults = {
            self._engine: 70,
            self._engine_while_loading: 10,
            self._engine_while_starting: 3,
            self._node: 10,
            self._node_while_starting: 4,
            self._node_in_order: 3,
        }

    async def run(self, kills: int) -> None:
        """Kills so many processes, or one more."""
        while self.kills.total() < kills:
            await self._load.pulse.after(self._rng.randint(1, BEATS_MAX))
            fault = self._rng.choices(tuple(self._faults), tuple(self._faults.values()))[0]
            await fault()
            self._progress(self.kills.total())

    async def _engine(self) -> None:
        if self._keeper.signal_engine():
            self.kills["engine"] += 1

    async def _engine_while_loading(self) -> None:
        since = len(self._keeper.events)
        await self._engine()
        await self._keeper.event("engine.started", since)
        await self._engine()

    async def _engine_while_starting(self) -> None:
        await self._keeper.kill()
        self.kills["node"] += 1
        since = len(self._keeper.events)
        await self._keeper.spawn()
        await self._keeper.event("engine.started", since)
        await self._engine()
        await self._keeper.up()

    async def _node(self) -> None:
        await self._keeper.kill()
        self.kills["node"] += 1
        await self._keeper.start()

    async def _node_in_order(self) -> None:
        await self._keeper.kill(signal.SIGTERM)
        await self._keeper.start()

    async def _node_while_starting(self) -> None:
        await self._keeper.kill()
        await self._keeper.spawn()
        with contextlib.suppress(TimeoutError):  # it is killed on its way
            async with asyncio.timeout(self._rng.uniform(0, START_S)):
                await self._keeper.up()
        await self._keeper.kill()
        self.kills["node"] += 2
        await self._keeper.start()


Attack = Callable[[Keeper, Load], Awaitable[object]]


async def attacked(keeper: Keeper, attack: Attack, *, load: Load, clients: int) -> Verdict:
    """What became of all tasks after the attack on a node under load. The node is dead then."""
    async with kept(keeper):
        await keeper.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run(clients))
            await attack(keeper, load)
            load.stop()
        await load.settle()
    read_back(keeper.data_dir / DATABASE, load.ledger)
    return load.ledger.judge()


async def chaos(
    folder: Path,
    *,
    kills: int,
    clients: int,
    seed: int,
    model: bool = False,
    progress: Callable[[int], object] = lambda _kills: None,
) -> tuple[Verdict, Counter[str]]:
    """Kills so many times under so many clients. What became of all tasks, and who was killed;
    `progress` is told how many were killed so far."""
    rng = Random(seed)
    keeper = Keeper(folder, *(("--model",) if model else SCRIPTED), settings=SETTINGS)
    load = Load(keeper, Random(rng.getrandbits(64)), BODY | (STORY if model else {}))
    killer = Killer(keeper, load, Random(rng.getrandbits(64)), progress)
    verdict = await attacked(keeper, lambda *_: killer.run(kills), load=load, clients=clients)
    return verdict, killer.kills
