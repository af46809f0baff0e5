"""phoenix.js and a node that wants tokens."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.conformance.js.calls import get_text, submit
from tests.conformance.js.client import PhoenixJs, phoenix_client
from tests.support.scripted_node import start_scripted_node

ADA, BOB = "a-secret-of-adas-own", "a-secret-of-bobs-own"


async def test_tokens(installed: dict[str, PhoenixJs], tmp_path: Path) -> None:
    """As a parameter and, from 1.8 on, as ``authToken``; everybody sees their own tasks alone."""
    node = await start_scripted_node(tmp_path, settings={"server.tokens": f"ada={ADA},bob={BOB}"})
    new, old = installed["phoenix-new"], installed["phoenix-1.7"]
    headers = {"Authorization": f"Bearer {ADA}"}
    try:
        async with aiohttp.ClientSession(headers=headers) as http:
            task_id = await submit(http, node.url, 20)
            for phoenix_js, options in (
                (new, {"authToken": ADA}),
                (new, {"params": {"token": ADA}}),
                (old, {"params": {"token": ADA}}),
            ):
                async with phoenix_client(phoenix_js, node.url, **options) as client:
                    client.join(task_id)
                    text = await client.text()
                assert text == await get_text(http, node.url, task_id)
        async with phoenix_client(new, node.url, authToken=BOB) as client:
            client.join(task_id)
            assert (await client.until("refused"))["reason"] == "not found"
        for phoenix_js, options in ((new, {"authToken": "wrong"}), (old, {})):
            async with phoenix_client(phoenix_js, node.url, **options) as client:
                client.join(task_id)
                assert (await client.until("open", "lost"))["event"] == "lost"
    finally:
        await node.kill()
