"""A channel that stays open after its task's end, frame by frame, as a phoenix client sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.node_inside import ScriptedNode, scripted_node

Heard = list[tuple[str, Any]]


class View:
    """One joined channel, and the text as its client keeps it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[Any], topic: str) -> None:
        self._socket = socket
        self._topic = topic
        self._ref = 1
        self.text = ""

    async def push(self, event: str, payload: object) -> None:
        self._ref += 1
        ref = "1" if event == "phx_join" else str(self._ref)
        await self._socket.send_str(json.dumps(["1", ref, self._topic, event, payload]))

    async def until(self, *wanted: str) -> Heard:
        """What is heard until one of these; of a reply its status."""
        heard: Heard = []
        while not heard or heard[-1][0] not in wanted:
            join_ref, _, topic, event, payload = json.loads(
                await self._socket.receive_str(timeout=10)
            )
            assert (join_ref, topic) == ("1", self._topic)
            if event == "phx_reply":
                event, payload = payload["status"], payload["response"]
            if event in ("ok", "progress") and "delta" in payload:
                assert payload["offset"] <= len(self.text)
                self.text = self.text[: payload["offset"]] + payload["delta"]
            elif event == "rewind":
                self.text = self.text[: payload["offset"]]
            heard.append((event, payload))
        return heard


async def joined(socket: Any, task_id: str, payload: object, text: str = "") -> View:
    view = View(socket, f"task:{task_id}")
    view.text = text
    await view.push("phx_join", payload)
    return view


def socket_of(node: ScriptedNode) -> Any:
    return node.http.ws_connect(f"{node.url}/socket/websocket?vsn=2.0.0")


async def run_again(view: View) -> None:
    """Pushes retry and hears the new run to its end."""
    await view.push("retry", {})
    heard = await view.until("completed", "error")
    names = [event for event, _ in heard]
    assert names.count("ok") == 1
    assert "rewind" in names
    assert "phx_close" not in names
    assert view.text == heard[-1][1]["result"]["text"] == "word " * 5


async def test_a_task_is_run_again_on_the_channel_that_heard_its_end(tmp_path: Path) -> None:
    async with scripted_node(tmp_path) as node, socket_of(node) as socket:
        task_id = await node.submit("a", max_tokens=5)
        view = await joined(socket, task_id, {"offset": 0, "stay": True})
        assert (await view.until("completed"))[0][0] == "ok"
        for _ in range(3):
            await run_again(view)
        await view.push("phx_leave", {})
        assert [event for event, _ in await view.until("phx_close")] == ["ok", "phx_close"]
        assert (await node.task(task_id))["attempt"] == 4


async def test_a_task_that_only_the_store_has_is_run_again_by_a_push(tmp_path: Path) -> None:
    async with scripted_node(tmp_path) as node:
        task_id = await node.submit("a", max_tokens=5)
        await node.ended(task_id)
    async with (
        scripted_node(tmp_path, tasks__finished_keep_ms=0) as node,
        socket_of(node) as socket,
        socket_of(node) as another,
    ):
        assert node.node.tasks is not None
        assert node.node.tasks.live(task_id) is None
        view = await joined(socket, task_id, {"offset": 3, "stay": True}, "wor")
        (_, reply), (event, _) = await view.until("completed", "phx_close")
        assert (reply["offset"], event, view.text) == (3, "completed", "word " * 5)
        other = await joined(another, task_id, {"stay": True})
        await other.until("completed")
        for _ in range(2):
            await run_again(view)
            # Who stays hears it, whoever asked for it.
            assert "rewind" in [event for event, _ in await other.until("completed")]
            assert other.text == view.text
            await node.actor_gone(f"task:{task_id}")
        # Over HTTP just the same.
        assert (await node.call("POST", f"/tasks/{task_id}/retry"))[0] == 202
        for each in (view, other):
            assert "rewind" in [event for event, _ in await each.until("completed")]
        assert (await node.task(task_id))["attempt"] == 4


async def test_a_push_that_cannot_be_done_says_why(tmp_path: Path) -> None:
    async with scripted_node(tmp_path) as node, socket_of(node) as socket:
        task_id = await node.submit("a", max_tokens=100_000)
        view = await joined(socket, task_id, {"stay": True})
        await view.until("progress")
        await view.push("retry", {})
        *_, (_, refusal) = await view.until("error")
        assert "is executing and cannot be run again" in refusal["reason"]
        await view.push("cancel", {})
        heard = await view.until("cancelled")
        assert [each["task"]["state"] for event, each in heard if event == "ok"] == ["cancelled"]
        await view.push("cancel", {})
        ((_, refusal),) = await view.until("error", "ok")
        assert "is cancelled" in refusal["reason"]


async def test_who_does_not_stay_hears_the_close_as_before(tmp_path: Path) -> None:
    async with scripted_node(tmp_path) as node, socket_of(node) as socket:
        task_id = await node.submit("a", max_tokens=5)
        view = await joined(socket, task_id, {"offset": 0})
        *_, (before, _), (last, _) = await view.until("phx_close")
        assert (before, last) == ("completed", "phx_close")
