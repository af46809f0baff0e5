"""Ollama's library for JavaScript does its quick start with a node, in all scripts."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from edge.gateway.ollama.api import VERSION
from tests.support.node_inside import scripted_node
from tests.support.npm import why_not_installed

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script beside the installed library. Skips where that cannot be had."""
    folder = tmp_path_factory.mktemp("ollama-js")
    for name in ("package.json", "quickstart.mjs"):
        shutil.copy(HERE / name, folder)
    reason = why_not_installed(folder)
    if reason is not None:
        pytest.skip(f"no ollama from npm: {reason}")
    return folder / "quickstart.mjs"


async def test_the_quick_start(script: Path, tmp_path: Path) -> None:
    async with scripted_node(tmp_path, "--unicode") as node:
        process = await asyncio.create_subprocess_exec(
            *("node", str(script), node.url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        assert errors == b"", "it would warn of a line that it cannot read"
        said = json.loads(out)
        accepted = [str(each.fields["task_id"]) for each in node.heard.of("task.accepted")]
        states = [(await node.ended(task_id))["state"] for task_id in accepted]
    role, text, reason, count = said["chat"]
    assert (role, reason, count) == ("assistant", "length", 24)
    assert "\u2028" in text
    assert said["stream"] == [text, 1]
    assert said["generated"] == said["whole"] == text
    assert said["loaded"] == "load"
    assert said["aborted"] == "AbortError"
    assert states == ["completed"] * 4 + ["cancelled"]
    status, sentence = said["error"]
    assert status == 404
    assert sentence.startswith("model 'nobody' not found")
    assert said["running"] == ["elwift-tiny:latest"]
    assert said["models"][0] == "elwift-tiny:latest"
    assert said["shown"] == ["completion", "tools"]
    assert said["version"] == VERSION
