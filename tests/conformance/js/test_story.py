"""What users do: the README's example as it stands there, and the model that comes along."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import aiohttp
import pytest

from tests.conformance.js.calls import get_text, submit
from tests.conformance.js.client import PhoenixJs, phoenix_client
from tests.conformance.js.proxy import proxied
from tests.support.node import serving
from tests.support.scripted_node import start_scripted_node

README = Path(__file__).parents[3] / "README.md"

CUTS = 5
"""How often a bad line is cut, one frame later each time."""

AROUND_THE_EXAMPLE = """
import "./browser.mjs";
const taskId = process.argv[2];
let rendered = "";
const render = (text) => { rendered = text; };
const renderPlace = () => {};
const failed = (error) => { throw new Error(error.message); };
const done = (result) => {
  console.log(JSON.stringify({ rendered, result }));
  process.exit();
};
"""


def example(package: str, url: str) -> str:
    """The README's program with its two names replaced: of the package, and of the node."""
    programs: list[str] = re.findall(r"```js\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (program,) = (each for each in programs if "import { Socket }" in each)
    for name, replacement in (('"phoenix"', f'"{package}"'), ("ws://localhost:4000", url)):
        assert program.count(name) == 1
        program = program.replace(name, replacement)
    return AROUND_THE_EXAMPLE + program


async def test_the_example_of_the_readme(phoenix_js: PhoenixJs, tmp_path: Path) -> None:
    """It runs on a bad line, with the client's own delays."""
    node = await start_scripted_node(tmp_path, "--rate", "200", "--stamps", "--unicode")
    try:
        async with proxied(node.url) as proxy, aiohttp.ClientSession() as http:
            proxy.frames_max = lambda number: number if number < CUTS else None
            program = phoenix_js.folder / f"{phoenix_js.package}.mjs"
            program.write_text(example(phoenix_js.package, proxy.url.replace("http", "ws")))
            task_id = await submit(http, node.url, 200)
            process = await asyncio.create_subprocess_exec(
                *("node", program.name, task_id),
                cwd=program.parent,
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await process.communicate()
            said = json.loads(output)
            text = await get_text(http, node.url, task_id)
            assert said["rendered"] == said["result"]["text"] == text
            assert proxy.passed[:CUTS] == list(range(CUTS))
    finally:
        await node.kill()


@pytest.mark.timeout(120)  # the model loads
async def test_a_story_of_the_embedded_model(
    installed: dict[str, PhoenixJs], tmp_path: Path
) -> None:
    async with (
        serving(tmp_path) as node,
        proxied(node.url) as proxy,
        aiohttp.ClientSession() as http,
    ):
        proxy.frames_max = lambda number: number if number < CUTS else None
        new, old = installed.values()
        async with (
            phoenix_client(new, proxy.url) as on_a_bad_line,
            phoenix_client(old, node.url) as at_ease,
        ):
            task_id = await submit(http, node.url, 150, ignore_eos=True)
            on_a_bad_line.join(task_id)
            at_ease.join(task_id)
            texts = await asyncio.gather(on_a_bad_line.text(), at_ease.text())
        assert set(texts) == {await get_text(http, node.url, task_id)}
        assert proxy.passed[:CUTS] == list(range(CUTS))


async def test_a_task_is_run_again_on_the_channel_that_stays(
    phoenix_js: PhoenixJs, tmp_path: Path
) -> None:
    """Before its end is a minute old, and when only the store has it; over lost connections too."""
    node = await start_scripted_node(
        tmp_path, "--rate", "200", "--stamps", settings={"tasks.finished_keep_ms": "0"}
    )
    try:
        async with (
            proxied(node.url) as proxy,
            aiohttp.ClientSession() as http,
            phoenix_client(phoenix_js, proxy.url, payload={"stay": True}) as client,
        ):
            task_id = await submit(http, node.url, 20)
            client.join(task_id)
            first = await client.until("completed")
            await client.push("retry")
            await client.until("rewind")
            second = await client.until("completed")
            proxy.cut()
            await client.until("joined")
            await client.until("completed")
            await client.push("retry")
            await client.until("rewind")
            third = await client.until("completed")
            texts = [each["payload"]["result"]["text"] for each in (first, second, third)]
            assert len(set(texts)) == 3
            assert texts[-1] == await get_text(http, node.url, task_id)
            assert {line["status"] for line in client.of("answered")} == {"ok"}
            assert client.of("closed") == []
    finally:
        await node.kill()
