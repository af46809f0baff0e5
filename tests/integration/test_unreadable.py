"""A task whose row was damaged in the database: it is told of as what it is, and hides no other."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from edge.node import DATABASE
from tests.support.node_inside import ScriptedNode, scripted_node

DAMAGES = {
    "a snapshot cut short": "snapshot = encode(substr(decode(snapshot), 1, 20))",
    "a snapshot of zeros": r"snapshot = '\x00\x00\x00\x00'::BLOB",
    "a snapshot of no text": r"snapshot = '\xff\xfe'::BLOB",
    "a snapshot that is null": "snapshot = 'null'::BLOB",
    "a snapshot that is a list": "snapshot = '[]'::BLOB",
    "no snapshot": "snapshot = NULL",
    "another state": """snapshot = encode(replace(decode(snapshot), '"completed"', '"undone"'))""",
    "a time that is text": """snapshot =
        encode(regexp_replace(decode(snapshot), '"created_ns":[0-9]+', '"created_ns":"x"'))""",
    "a text that is a number": """snapshot =
        encode(regexp_replace(decode(snapshot), '"text":"[^"]*"', '"text":5'))""",
    "a request cut short": "spec = encode(substr(decode(spec), 1, 20))",
    "a request of no text": r"spec = '\xff\xfe'::BLOB",
    "a prompt that is a number": """spec =
        encode(regexp_replace(decode(spec), '"prompt":"[^"]*"', '"prompt":5'))""",
    "metadata that is none": """spec =
        encode(regexp_replace(decode(spec), '"metadata":null', '"metadata":"{"'))""",
    "details that are none": "details = '{'",
}
"""What is done to the rows of one task."""


async def make(path: Path) -> tuple[str, str, str]:
    """Three completed tasks, the second and the third the same request."""
    async with scripted_node(path) as node:
        ids = [await node.submit(text, max_tokens=3) for text in ("other", "same", "same")]
        for task_id in ids:
            await node.ended(task_id)
    first, second, third = ids
    return first, second, third


def damage(path: Path, task_id: str, how: str) -> None:
    """In the file itself, while nobody has it."""
    with duckdb.connect(str(path / DATABASE)) as database:
        database.execute(f"UPDATE journal SET {how} WHERE task_id = ?::UUID", [task_id])


async def updates(node: ScriptedNode, offsets: dict[str, int]) -> dict[str, dict[str, Any]]:
    """The first entry of each of these tasks in ``tasks:mine``."""
    found: dict[str, dict[str, Any]] = {}
    url = f"{node.url}/socket/websocket?vsn=2.0.0"
    async with node.http.ws_connect(url, max_msg_size=0) as socket:
        await socket.send_str(
            json.dumps(["1", "1", "tasks:mine", "phx_join", {"offsets": offsets}])
        )
        while len(found) < len(offsets):
            *_, payload = json.loads(await socket.receive_str(timeout=10))
            for entry in payload.get("updates", ()):
                found.setdefault(entry["task_id"], entry)
    return found


@pytest.mark.parametrize("how", DAMAGES)
async def test_a_damaged_task_hides_no_other(tmp_path: Path, how: str) -> None:
    first, second, third = await make(tmp_path)
    damage(tmp_path, second, DAMAGES[how])
    unreadable = how != "details that are none"
    async with scripted_node(tmp_path) as node:
        status, page = await node.call("GET", "/tasks")
        assert (status, [task["task_id"] for task in page["tasks"]]) == (
            200,
            [third, second, first],
        )
        shown = page["tasks"][1]
        assert shown == await node.task(second)
        assert shown["state"] == ("discarded" if unreadable else "completed")
        assert [error["code"] for error in shown["errors"]] == ["unreadable"] * unreadable
        assert (shown["result"] is None) == unreadable
        if unreadable:
            assert "it was completed" in shown["errors"][0]["message"]
        # Who watches it hears the end, in the way in which any other is told.
        async with node.watch(second) as channel:
            await channel.until("phx_close")
            assert channel.events[-2] == ("failed" if unreadable else "completed")
        entries = await updates(node, {first: 0, second: 0, third: 0})
        assert {task_id: entry["event"] for task_id, entry in entries.items()} == dict.fromkeys(
            (first, second, third), "task"
        )
        status, answer = await node.call("POST", f"/tasks/{second}/retry")
        assert status == (409 if unreadable else 202), answer
        assert (await node.call("GET", f"/tasks/{second}/audit"))[0] == 200
        for file_format in ("json", "csv", "parquet"):
            await exported(node, tmp_path, file_format, [first, second, third])
        assert not node.heard.of("store.failed")
        assert not node.heard.of("channel.crashed")


async def exported(node: ScriptedNode, path: Path, file_format: str, ids: list[str]) -> None:
    """The export has them all."""
    async with node.http.get(f"{node.url}/tasks/export?format={file_format}") as response:
        assert response.status == 200
        body = await response.read()
    if file_format == "json":
        found = [json.loads(line)["task_id"] for line in body.splitlines()]
    elif file_format == "csv":
        found = [row["task_id"] for row in csv.DictReader(body.decode().splitlines())]
    else:
        file = path / "export.parquet"
        file.write_bytes(body)
        found = [row[0] for row in duckdb.read_parquet(str(file)).project("task_id").fetchall()]
    assert found == ids


async def test_a_change_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    first, _, _ = await make(tmp_path)
    damage(tmp_path, first, "details = '{'")
    async with scripted_node(tmp_path) as node:
        _, trail = await node.call("GET", f"/tasks/{first}/audit")
        assert {row["event"] for row in trail["audit"]} == {"unreadable"}
        assert [row["to_state"] for row in trail["audit"]] == [
            "available",
            "executing",
            "completed",
        ]


async def test_a_damaged_task_is_not_brought_back_and_keeps_no_other_away(tmp_path: Path) -> None:
    async with scripted_node(tmp_path) as node:
        damaged, whole = [await node.submit(text, schedule_in_ms=600_000) for text in ("a", "b")]
    damage(tmp_path, damaged, DAMAGES["a snapshot cut short"])
    async with scripted_node(tmp_path) as node:
        assert (await node.task(whole))["state"] == "scheduled"
        shown = await node.task(damaged)
        assert (shown["state"], shown["prompt"]) == ("discarded", "a")
        assert "it was scheduled" in shown["errors"][0]["message"]
        assert (await node.call("DELETE", f"/tasks/{damaged}"))[0] == 409
        (said,) = node.heard.of("store.failed")
        assert damaged in str(said.fields["error"])


async def test_an_earlier_answer_is_given_when_the_last_one_is_damaged(tmp_path: Path) -> None:
    _, second, third = await make(tmp_path)
    damage(tmp_path, third, DAMAGES["a snapshot cut short"])
    settings: dict[str, Any] = {
        "fallback__outage_ms": 0,
        "fallback__embedded": False,
        "model__deaths_max": 0,
    }
    async with scripted_node(tmp_path, "--dies-loading", "1", **settings) as node:
        shown = await node.ended(await node.submit("same", max_tokens=3))
        assert shown["result"]["source"] == "history"
        assert shown["result"]["text"] == (await node.task(second))["result"]["text"]
