"""What a node's log says, and how it is made to say more."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.telemetry import log_events
from edge.telemetry.lines import JsonLines
from tests.support.node_inside import ScriptedNode, scripted_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "a-secret-of-some-length"
PROMPT = "a prompt that nobody else may read"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("elwift")
    before = logger.level
    yield logger
    logger.setLevel(before)


async def put(node: ScriptedNode, query: str, **headers: str) -> tuple[int, str]:
    async with node.http.put(f"{node.url}/log{query}", headers=headers) as response:
        return response.status, await response.text()


async def test_it_says_more_at_once_and_nothing_of_texts(
    node: ScriptedNode, logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    detach = log_events(node.node.telemetry)
    try:
        await node.ended(await node.submit("count 2"))
        assert not caplog.records
        assert await put(node, "?level=debug") == (200, '{"level":"debug"}')
        headers = {"X-Request-Id": "mine"}
        task_id = await node.submit(PROMPT, headers=headers, max_tokens=5)
        document = await node.ended(task_id)
        assert await put(node, "") == (200, '{"level":"warning"}')
    finally:
        detach()
    lines = [JsonLines().format(record) for record in caplog.records]
    events = [getattr(record, "event", None) for record in caplog.records]
    assert {"task.accepted", "task.started", "task.finished", "request.stop"} <= set(events)
    accepted = next(line for line in lines if '"task.accepted"' in line)
    assert f'"task_id":"{task_id}"' in accepted
    assert any('"request_id":"mine"' in line and '"/tasks"' in line for line in lines)
    finished = next(line for line in lines if '"task.finished"' in line)
    assert '"request_id"' not in finished
    told = "".join(lines)
    assert PROMPT not in told
    assert document["result"]["text"] not in told or not document["result"]["text"].strip()


@pytest.mark.parametrize("query", ["?level=loud", "?level=DEBUG", "?volume=debug"])
async def test_there_are_four_levels(
    node: ScriptedNode, logger: logging.Logger, query: str
) -> None:
    status, _ = await put(node, query)
    assert status == 422


async def test_it_is_for_who_has_a_token(tmp_path: Path, logger: logging.Logger) -> None:
    async with scripted_node(tmp_path, server__tokens={"ada": SECRET}) as node:
        assert (await put(node, "?level=debug"))[0] == 401
        status, _ = await put(node, "?level=error", Authorization=f"Bearer {SECRET}")
        assert status == 200
        assert logger.level == logging.ERROR
