"""What the engine counts of its caches: each way to a prompt's beginning, and what had to go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edge.engine.messages import CacheUse, Ping, Pong, Ready
from tests.support.node import joined, serving
from tests.support.random_gguf import write_random_gguf
from tests.support.worker import Worker, ask

LONG = "abcdefgh" * 16
OTHER = "ijklmnop" * 16


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """Two slots."""
    worker = Worker(write_random_gguf(tmp_path / "nano.gguf"), "--slots", "2")
    assert isinstance(worker.next(), Ready)
    yield worker
    worker.close()


def grown(before: CacheUse, after: CacheUse) -> dict[str, int]:
    """What has become more."""
    told = asdict(before)
    return {
        name: value - told[name]
        for name, value in asdict(after).items()
        if value != told[name] and not name.startswith("shelf")
    }


def test_each_way_to_a_prompts_beginning_is_counted(worker: Worker) -> None:
    worker.run(ask(1, LONG))
    first = worker.cache_use()
    assert grown(CacheUse(), first) == {"unshared": 1}
    # The same again: all but the last token is there.
    worker.run(ask(2, LONG))
    second = worker.cache_use()
    assert grown(first, second) == {
        "in_place": 1,
        "reused_tokens": worker.admitted(2).cached_tokens,
    }
    # Less than half of what the slot holds: it keeps that, and another gets a copy.
    worker.run(ask(3, LONG[:64] + "x"))
    third = worker.cache_use()
    assert grown(second, third) == {"copied": 1, "reused_tokens": worker.admitted(3).cached_tokens}
    # Others take both slots, whose caches go on the shelf; who comes back finds it there.
    worker.run(ask(4, OTHER))
    worker.run(ask(5, OTHER[::-1]))
    fourth = worker.cache_use()
    assert grown(third, fourth) == {"unshared": 2, "put_away": 2}
    assert fourth.shelf_caches == 2
    assert fourth.shelf_bytes > 0
    worker.run(ask(6, LONG))
    fifth = worker.cache_use()
    assert grown(fourth, fifth) == {
        "fetched": 1, "reused_tokens": worker.admitted(6).cached_tokens, "put_away": 1,
    }  # fmt: skip
    assert worker.admitted(6).cached_tokens == len(LONG) - 1
    # Nothing has come of them since: nothing is told.
    worker.send(Ping(9))
    assert isinstance(worker.next(), Pong)


def test_what_had_to_go_is_counted(tmp_path: Path) -> None:
    """Room for less than two sequences."""
    flags = ("--slots", "2", "--context-tokens", "256", "--cache-tokens", "256")
    worker = Worker(write_random_gguf(tmp_path / "nano.gguf"), *flags)
    assert isinstance(worker.next(), Ready)
    worker.run(ask(1, LONG))
    worker.send(ask(2, LONG[::-1]), ask(3, OTHER))
    worker.until_finished(2, 3)
    use = worker.cache_use()
    assert use.evicted + use.put_away >= 1
    assert use.requeued >= 1
    worker.close()


async def test_the_node_shows_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as node, aiohttp.ClientSession() as http:
        body = {"prompt": "say", "max_tokens": 2}
        async with http.post(f"{node.url}/tasks", json=body) as response:
            task_id = (await response.json())["task_id"]
        async with joined(http, node.url, task_id) as channel:
            await channel.until("completed")
        health: dict[str, Any] = {"threads": None}
        while health["threads"] is None:  # until the engine has answered the next ping
            async with http.get(f"{node.url}/healthz") as response:
                health = await response.json(content_type=None)
        assert health["threads"] >= 1
        assert health["cache"]["unshared"] >= 1
        assert health["cache"].keys() == asdict(CacheUse()).keys()
