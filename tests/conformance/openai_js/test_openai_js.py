"""OpenAI's library for JavaScript does its quick start with a node; checks 3, 4 and 17 of those
that an OpenAI surface has to pass, as far as they are of streams of text."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from tests.support.node_inside import scripted_node
from tests.support.npm import why_not_installed

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script beside the installed library. Skips where that cannot be had."""
    folder = tmp_path_factory.mktemp("openai-js")
    for name in ("package.json", "quickstart.mjs"):
        shutil.copy(HERE / name, folder)
    reason = why_not_installed(folder)
    if reason is not None:
        pytest.skip(f"no openai from npm: {reason}")
    return folder / "quickstart.mjs"


async def test_the_quick_start(script: Path, tmp_path: Path) -> None:
    async with scripted_node(tmp_path) as node:
        process = await asyncio.create_subprocess_exec(
            *("node", str(script), node.url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        said = json.loads(out)
        broken = await node.ended(said["broken"].removeprefix("chatcmpl-"))
    words = "word word word "
    assert said["chat"] == said["response"] == words
    assert said["requestId"].startswith("req_")
    assert said["stream"] == {"roles": ["assistant"], "text": words, "tokens": 3}
    assert said["helper"] == [["assistant", words]] * 2
    assert broken["state"] == "cancelled"
    assert said["error"] == [404, "model_not_found", "model"]
    assert said["models"] == ["elwift-tiny"]
