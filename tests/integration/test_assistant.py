"""A real assistant, SmolLM2-135M-Instruct, through the front door: it is the default where it is
installed, it answers, and a chat may grow until the context is full."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.node import joined, serving

CONTEXT_TOKENS = 256


class Chat:
    """A conversation with the node at this address."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self.messages: list[dict[str, str]] = []

    async def say(self, text: str, **options: Any) -> tuple[int, dict[str, Any]]:
        """The status and the ended task, whose answer is part of the chat from then on; or the
        problem document."""
        self.messages.append({"role": "user", "content": text})
        body = {"messages": self.messages, "temperature": 0, "seed": 1, **options}
        async with self._http.post(f"{self._url}/tasks", json=body) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            if response.status != 202:
                return response.status, answer
        task_id = answer["task_id"]
        async with joined(self._http, self._url, task_id) as channel:
            if not channel.closed:
                await channel.until("completed", "failed", "phx_close")
        async with self._http.get(f"{self._url}/tasks/{task_id}") as response:
            task: dict[str, Any] = await response.json()
        self.messages.append({"role": "assistant", "content": task["result"]["text"]})
        return 202, task


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[Chat]:
    flags = ("--model", "smollm2-135m", "--context", str(CONTEXT_TOKENS), "--slots", "2")
    async with serving(tmp_path, *flags) as node, aiohttp.ClientSession() as http:
        yield Chat(http, node.url)


async def test_it_is_the_default_and_answers_a_question(tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("ELWIFT_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge.cli.main", "run", "Why is the sky blue?"),
        *("--temperature", "0", "--max-tokens", "40"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=own | {"XDG_DATA_HOME": str(tmp_path), "ELWIFT_SERVER__PORT": "9"},
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err
    assert b"node ready, model smollm2-135m" in err
    assert b"light" in out


async def test_its_template_ends_what_it_says(chat: Chat) -> None:
    _, task = await chat.say("What is 2+2?", max_tokens=60)
    assert task["result"]["finish_reason"] == "stop"
    assert "4" in task["result"]["text"]
    assert "<|im_end|>" not in task["result"]["text"]


async def test_a_chat_grows_until_the_context_is_full_and_then_hears_a_sentence(chat: Chat) -> None:
    sizes: list[int] = []
    status, answer = 202, dict[str, Any]()
    while status == 202:
        status, answer = await chat.say(f"Tell me thing {len(sizes)} of the sea.", max_tokens=40)
        if status == 202:
            usage = answer["result"]["usage"]
            assert usage["prompt_tokens"] + usage["completion_tokens"] <= CONTEXT_TOKENS
            # All but the new words is known from the turn before.
            assert usage["cached_tokens"] >= sum(sizes[-1:])
            sizes.append(usage["prompt_tokens"])
    assert sizes == sorted(sizes)
    assert len(sizes) >= 3
    assert status == 422
    assert answer["field"] == "messages"
    assert f"only {CONTEXT_TOKENS}; make it shorter" in answer["detail"]
    # Whoever leaves the oldest turns out goes on.
    del chat.messages[:-3]
    assert (await chat.say("And?", max_tokens=5))[0] == 202
