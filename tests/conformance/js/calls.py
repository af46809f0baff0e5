"""What the tests with phoenix.js ask of the node by HTTP."""

from __future__ import annotations

from typing import Any

import aiohttp


async def submit(http: aiohttp.ClientSession, url: str, tokens: int, **more: Any) -> str:
    """A task of this length; its id."""
    body = {"prompt": "Tell me a story", "max_tokens": tokens, **more}
    async with http.post(f"{url}/tasks", json=body) as response:
        answer: dict[str, Any] = await response.json(content_type=None)
        assert response.status == 202, answer
        return str(answer["task_id"])


async def get_text(http: aiohttp.ClientSession, url: str, task_id: str) -> str:
    """The text of a task that has ended, as the node has it."""
    async with http.get(f"{url}/tasks/{task_id}") as response:
        document: dict[str, Any] = await response.json(content_type=None)
        assert response.status == 200, document
        return str(document["result"]["text"])
