"""Models of other programs run by their names, where they lie."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.support.node import joined, serving
from tests.support.random_gguf import write_random_gguf


@pytest.mark.parametrize("tensors_of_file", [0, 8], ids=["one file", "several files"])
async def test_it_is_named_by_owner_repository_and_quantisation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tensors_of_file: int
) -> None:
    snapshot = tmp_path / "hub" / "models--owner--repository" / "snapshots" / "aa"
    snapshot.mkdir(parents=True)
    write_random_gguf(snapshot / "it-Q8_0.gguf", tensors_of_file=tensors_of_file)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    name = "owner/repository:Q8_0"
    async with (
        serving(tmp_path / "data", "--model", name) as node,
        aiohttp.ClientSession() as http,
    ):
        asked = {"prompt": "hello", "max_tokens": 3, "ignore_eos": True, "model": name}
        async with http.post(f"{node.url}/tasks", json=asked) as response:
            task_id = (await response.json())["task_id"]
        async with joined(http, node.url, task_id) as channel:
            await channel.until("phx_close")
        async with http.get(f"{node.url}/tasks/{task_id}") as response:
            task = await response.json()
    assert (task["state"], task["model"]) == ("completed", name)
