"""A model whose chat template is of no use, through the front door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp

from tests.support.node import joined, serving
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
        asked: dict[str, Any] = {
            "prompt": "hello", "max_tokens": 3, "ignore_eos": True, "fallback": False
        }  # fmt: skip
        async with http.post(f"{node.url}/tasks", json=asked) as response:
            assert response.status == 202
            task_id = (await response.json())["task_id"]
        async with joined(http, node.url, task_id) as channel:
            await channel.until("completed", "failed")
        assert channel.last["result"]["source"] == "model"
        chat = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]
        del asked["prompt"]
        async with http.post(f"{node.url}/tasks", json=asked | {"messages": chat}) as response:
            assert response.status == 202
            task_id = (await response.json())["task_id"]
        async with joined(http, node.url, task_id) as channel:
            await channel.until("completed", "failed")
        assert "the model's chat template is broken" in channel.last["error"]["message"]
        async with http.get(f"{node.url}/readyz") as response:
            assert response.status == 200
            report = await response.json()
        assert report["status"] == "degraded"
        (reason,) = [each for each in report["reasons"] if "chats are refused" in each]
        async with http.ws_connect(f"{node.url}/socket/websocket?vsn=2.0.0") as socket:
            await socket.send_json(["1", "1", "node:status", "phx_join", {}])
            reply = (await socket.receive_json(timeout=30))[4]["response"]
        assert reason in reply["degraded"]
        assert reply["threads_because"]
