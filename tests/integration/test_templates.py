"""A model whose chat template is of no use, through the front door."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.support.node import serving
from tests.support.random_gguf import write_random_gguf


async def test_plain_prompts_run_and_health_says_what_is_wrong(tmp_path: Path) -> None:
    model = write_random_gguf(tmp_path / "bad.gguf", chat_template="{{ 1 | nothing }}")
    async with (
        serving(tmp_path / "data", "--model", str(model)) as node,
        aiohttp.ClientSession() as http,
    ):
        async with http.get(f"{node.url}/healthz") as response:
            health = await response.json()
        assert health["status"] == "degraded"
        assert "the model's chat template is broken" in health["template_fault"]
        asked = {"prompt": "hello", "max_tokens": 3, "ignore_eos": True}
        async with http.post(f"{node.url}/tasks", json=asked) as response:
            assert response.status == 202
