"""From ``kill -9`` of the engine to the next character that a client sees, on the embedded model.

In between are the restart, the load of the model, its self-test, and the prompt and the text so far
being read again.
"""

from __future__ import annotations

import time
from pathlib import Path

import aiohttp
from pytest_benchmark.fixture import BenchmarkFixture

from bench.test_node import measure
from tests.support.chaos import STORY
from tests.support.keeper import Keeper, kept
from tests.support.node import joined

CHARS_BEFORE = 100
"""The story so far when the engine is killed."""


async def restarts(folder: Path, count: int) -> list[float]:
    """Kills the engine in the middle of as many stories; the pauses in milliseconds."""
    # The waits between restarts grow with their number; each kill here is to be a first one.
    settings = {"MODEL__RESTART_MAX_MS": 100, "MODEL__DEATHS_MAX": count}
    keeper = Keeper(folder, "--model", settings=settings)
    async with kept(keeper), aiohttp.ClientSession() as http:
        url = await keeper.start()
        return [await pause_ms(http, url, keeper) for _ in range(count)]


async def pause_ms(http: aiohttp.ClientSession, url: str, keeper: Keeper) -> float:
    """One story and the pause in it."""
    async with http.post(f"{url}/tasks", json=STORY | {"max_tokens": 96}) as answer:
        assert answer.status == 202, await answer.text()
        task_id = (await answer.json())["task_id"]
    async with joined(http, url, task_id) as channel:
        while len(channel.text) < CHARS_BEFORE:
            await channel.hear()
        since, known = len(keeper.events), ""
        assert keeper.signal_engine()
        killed_s = time.monotonic()
        # What the old engine had said may still be on its way.
        while not (keeper.said("engine.ready", since) and len(channel.text) > len(known)):
            known = channel.text
            assert await channel.hear()
        paused_ms = (time.monotonic() - killed_s) * 1e3
        await channel.until("completed")
    async with http.get(f"{url}/tasks/{task_id}") as answer:
        assert (await answer.json())["result"]["text"] == channel.text
    return paused_ms


def test_from_the_engines_death_to_the_next_character(
    benchmark: BenchmarkFixture, tmp_path: Path
) -> None:
    count = 20 if benchmark.enabled else 1
    name = "kill -9 of the engine to the client's next character"
    measure(benchmark, lambda: restarts(tmp_path, count), name)
