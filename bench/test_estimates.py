"""What clients are told of their waits, against what comes of it; and who waits for whom.

On the real engine with the embedded model: sixteen tasks run, sixty-four wait behind them. What the
submission told, and what was pushed first, is compared to when the task really started. On the
scripted engine: a client that chats, alone and beside one that has asked for a thousand answers.
The simulated day is that of `tests.support.day`. Errors are shares of the real wait, or of a
second where that is less; the middle one and the ninetieth of a hundred.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.scripted_node import scripted_node
from edge.services.task.turns import Turns
from tests.support.day import Day, errors, percentile
from tests.support.node import serving

SLOTS, WAITING = 16, 64
PROMPT = "Tell a story about a brave fox who lives in house number"


def report(
    benchmark: BenchmarkFixture, run: Callable[[], Awaitable[dict[str, Any]]], title: str
) -> None:
    measured = benchmark.pedantic(  # type: ignore[no-untyped-call]  # the plugin has no types
        lambda: asyncio.run(_awaited(run)), rounds=1, iterations=1
    )
    benchmark.extra_info |= measured
    cells = " ".join(f"{name}={value}" for name, value in measured.items())
    sys.stdout.write(f"\n{title}: {cells}\n")


async def _awaited(run: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    return await run()


class Client:
    """Submits tasks, and watches them all on one socket."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self.pushed: dict[str, tuple[float, float]] = {}  # when, and the wait that it told

    async def submit(self, number: int, **fields: Any) -> dict[str, Any]:
        body = {"prompt": f"{PROMPT} {number}", **fields}
        async with self._http.post(f"{self._url}/tasks", json=body) as response:
            assert response.status == 202, await response.text()
            return dict(await response.json())

    async def task(self, task_id: str) -> dict[str, Any]:
        async with self._http.get(f"{self._url}/tasks/{task_id}") as response:
            return dict(await response.json())

    async def run(self, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Submits all, one after the other, and waits for their ends; what the submissions told."""
        async with self._http.ws_connect(f"{self._url}/socket/websocket?vsn=2.0.0") as socket:
            reader = asyncio.create_task(self._read(socket, len(wanted)))
            told = []
            for number, fields in enumerate(wanted):
                told.append(await self.submit(number, **fields))
                join = ["1", "1", told[-1]["topic"], "phx_join", {"offset": 0}]
                await socket.send_str(json.dumps(join))
            await reader
        return told

    async def _read(self, socket: aiohttp.ClientWebSocketResponse[Any], left: int) -> None:
        """Until so many channels have ended."""
        while left:
            message = await socket.receive(timeout=50)
            assert message.type is aiohttp.WSMsgType.TEXT, message
            _, _, topic, event, payload = json.loads(message.data)
            if event == "queued":
                self.pushed.setdefault(topic, (time.time() * 1_000, payload["eta_ms"]))
            left -= event == "phx_close"


def at_ms(text: str) -> float:
    """RFC 3339 as Unix time."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1_000


def shares(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """The errors of pairs of what was told and what was."""
    wrong = sorted(abs(told - real) / max(real, 1_000) for told, real in pairs)
    return round(percentile(wrong, 0.5), 3), round(percentile(wrong, 0.9), 3)


async def on_the_real_engine(folder: Path, most: Callable[[int], int], *, known: bool) -> Any:
    """``known``: the node has answered a few such requests before."""
    # One thread: beside other work on the machine two of them wait for each other most of the time.
    flags = ("--slots", str(SLOTS), "--threads", "1")
    async with serving(folder, *flags) as node, aiohttp.ClientSession() as http:
        if known:
            await Client(http, node.url).run([wish(most(each)) for each in range(SLOTS)])
        client = Client(http, node.url)
        told = await client.run([wish(most(each)) for each in range(SLOTS + WAITING)])
        submitted, pushed = [], []
        for each in told[SLOTS:]:
            document = await client.task(each["task_id"])
            started_ms = at_ms(document["started_at"])
            submitted.append((each["eta_ms"], started_ms - at_ms(document["created_at"])))
            if each["topic"] in client.pushed:
                then_ms, eta_ms = client.pushed[each["topic"]]
                pushed.append((eta_ms, started_ms - then_ms))
        (told_p50, told_p90), (push_p50, push_p90) = shares(submitted), shares(pushed)
        return {
            "told_p50": told_p50, "told_p90": told_p90, "pushed_p50": push_p50,
            "pushed_p90": push_p90, "pushes": len(pushed),
            "longest_wait_ms": round(max(real for _, real in submitted)),
        }  # fmt: skip


def wish(most: int) -> dict[str, Any]:
    """Lengths are what is wanted, so that they are known to who measures."""
    return {"max_tokens": most, "ignore_eos": True}


@pytest.mark.parametrize("lengths", ["equal", "unequal"])
@pytest.mark.parametrize("known", [False, True], ids=["new node", "known node"])
def test_behind_sixteen(
    benchmark: BenchmarkFixture, tmp_path: Path, lengths: str, known: bool
) -> None:
    drawn = [Random(number).choice((40, 100, 200, 500)) for number in range(SLOTS + WAITING)]
    most = (lambda _: 200) if lengths == "equal" else drawn.__getitem__
    report(
        benchmark,
        lambda: on_the_real_engine(tmp_path, most, known=known),
        f"64 behind 16, {lengths}, known={known}",
    )


async def beside_a_batch(folder: Path) -> dict[str, Any]:
    """A question of twenty tokens every second, alone and beside a thousand of fifty."""
    async with scripted_node(folder, 100, 4) as node, aiohttp.ClientSession() as http:
        client = Client(http, node.url)

        async def chat(times: int) -> list[float]:
            waits = []
            for number in range(times):
                told = await client.submit(number, max_tokens=20, user="chat")
                document: dict[str, Any] = {}
                while not document.get("finished_at"):
                    await asyncio.sleep(0.05)
                    document = await client.task(told["task_id"])
                waits.append(at_ms(document["started_at"]) - at_ms(document["created_at"]))
            return sorted(waits)

        alone = await chat(8)
        await asyncio.gather(
            *(client.submit(each, max_tokens=50, user="batch") for each in range(1_000))
        )
        beside = await chat(16)
        return {
            "alone_max_ms": round(alone[-1]), "beside_p50_ms": round(percentile(beside, 0.5)),
            "beside_max_ms": round(beside[-1]), "one_running_task_ms": 500,
        }  # fmt: skip


def test_chat_beside_a_batch(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    report(benchmark, lambda: beside_a_batch(tmp_path), "chat beside a batch of 1000")


def _resume(kept: Any, turns: Turns) -> None:
    turns.forecast.resume(kept)


async def days(known: bool) -> dict[str, Any]:
    every, waited = [], []
    for seed in range(1, 9):
        day = Day(seed)
        day.run()
        if known:
            kept = day.turns.forecast.to_json()
            day = Day(seed + 100, prepare=partial(_resume, kept))
            day.run()
        every += day.asked
        waited += [each for each in day.asked if max(each.told_ms or 0, each.waited_ms) >= 1_000]
    return {
        "waited": len(waited),
        "waited_p50": round(percentile(errors(waited), 0.5), 3),
        "waited_p90": round(percentile(errors(waited), 0.9), 3),
        "all": len(every),
        "all_p50": round(percentile(errors(every), 0.5), 3),
        "all_p90": round(percentile(errors(every), 0.9), 3),
    }


@pytest.mark.parametrize("known", [False, True], ids=["new node", "known clients"])
def test_simulated_days(benchmark: BenchmarkFixture, known: bool) -> None:
    report(benchmark, lambda: days(known), f"eight simulated days, known={known}")
