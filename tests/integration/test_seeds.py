"""A seed repeats its text: from the front door, with the real model, also where its engine dies."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.support.node import RunningNode, joined, serving

ASKED: Final[dict[str, Any]] = {
    "prompt": "Once upon a time", "temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0, "seed": 11,
    "max_tokens": 200, "ignore_eos": True,
}  # fmt: skip


def kill_engine(node: RunningNode) -> None:
    (engine,) = [
        child for child in psutil.Process(node.process.pid).children()
        if "edge.engine.worker" in child.cmdline()
    ]  # fmt: skip
    engine.kill()


async def told(folder: Path, *kill_behind_chars: int, **asked: Any) -> str:
    """The text of a task of a node that has just started, and whose engine is killed whenever so
    much of the text was heard."""
    async with serving(folder) as node, aiohttp.ClientSession() as http:
        async with http.post(f"{node.url}/tasks", json=ASKED | asked) as response:
            assert response.status == 202
            task_id = (await response.json())["task_id"]
        async with joined(http, node.url, task_id) as channel:
            for chars in kill_behind_chars:
                while len(channel.text) < chars:
                    assert await channel.hear() != "completed"
                kill_engine(node)
            await channel.until("completed")
        return channel.text


# Four starts of a node and three of an engine, and four stories.
@pytest.mark.timeout(240)
async def test_a_seed_repeats_its_text_also_where_its_engine_is_killed(tmp_path: Path) -> None:
    whole = await told(tmp_path / "a")
    assert len(whole) > 400
    assert await told(tmp_path / "b") == whole
    assert await told(tmp_path / "c", 60, 300) == whole
    assert await told(tmp_path / "d", seed=12) != whole
