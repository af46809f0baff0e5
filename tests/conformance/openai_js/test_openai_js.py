"""OpenAI's library for JavaScript does its quick start with a node; checks 3, 4 and 17 of those
that an OpenAI surface has to pass."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.node_inside import scripted_node
from tests.support.npm import why_not_installed
from tests.support.smollm2 import smollm2

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts beside the installed library. Skips where that cannot be had."""
    folder = tmp_path_factory.mktemp("openai-js")
    for name in ("package.json", "quickstart.mjs", "tools.mjs"):
        shutil.copy(HERE / name, folder)
    reason = why_not_installed(folder)
    if reason is not None:
        pytest.skip(f"no openai from npm: {reason}")
    return folder


async def what_it_says(script: Path, url: str) -> Any:
    """What the script makes of a node."""
    process = await asyncio.create_subprocess_exec(
        *("node", str(script), url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return json.loads(out)


async def test_the_quick_start(folder: Path, tmp_path: Path) -> None:
    async with scripted_node(tmp_path) as node:
        said = await what_it_says(folder / "quickstart.mjs", node.url)
        broken = await node.ended(said["broken"].removeprefix("chatcmpl-"))
    words = "word word word "
    assert said["chat"] == said["response"] == words
    assert said["requestId"].startswith("req_")
    assert said["stream"] == {"roles": ["assistant"], "text": words, "tokens": 3}
    assert said["helper"] == [["assistant", words]] * 2
    assert broken["state"] == "cancelled"
    assert said["error"] == [404, "model_not_found", "model"]
    assert said["models"][0] == "elwift-tiny"


async def test_17_tools(folder: Path, tmp_path: Path) -> None:
    own: dict[str, Any] = {"model__name": str(smollm2())}
    async with scripted_node(tmp_path, real=True, **own) as node:
        said = await what_it_says(folder / "tools.mjs", node.url)
    name, arguments, reason = said["whole"]
    assert (name, reason) == ("get_weather", "tool_calls")
    assert list(json.loads(arguments)) == ["city"]
    assert said["helper"] == [[name, arguments]]
    assert said["id"].startswith("call_")
    assert said["answer"] in ("stop", "length", "tool_calls")
