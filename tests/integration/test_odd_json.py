"""JSON that is odd, huge or deep, at every door of a node; what is accepted can be read again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio

from edge.json_values import LEVELS_MAX
from tests.support.node_inside import ScriptedNode

pytestmark = pytest.mark.asyncio(loop_scope="module")

NODE_SETTINGS = {"tasks__finished_keep_ms": 0}
JSON = {"Content-Type": "application/json"}


def nested(levels: int) -> bytes:
    """Objects and lists in turn, so many in one another."""
    value = b"1"
    for level in range(levels):
        value = b"[%b]" % value if (levels - level) % 2 == 0 else b'{"a":%b}' % value
    return value


@pytest.fixture
def node(node: ScriptedNode) -> Iterator[ScriptedNode]:
    """The file's node, which has survived whatever was sent."""
    yield node
    assert node.heard.of("channel.crashed") == node.heard.of("store.failed") == []


async def post(node: ScriptedNode, body: bytes) -> tuple[int, Any]:
    async with node.http.post(f"{node.url}/tasks", data=body, headers=JSON) as response:
        return response.status, await response.json(content_type=None)


async def refused(node: ScriptedNode, body: bytes, status: int, field: str | None) -> None:
    got, problem = await post(node, body)
    assert (got, problem.get("field")) == (status, field), problem
    assert len(problem["detail"]) < 1_000


@pytest.mark.parametrize("levels", [LEVELS_MAX + 1, 254, 1_000, 100_000])
async def test_a_body_that_is_nested_too_deep_is_refused(node: ScriptedNode, levels: int) -> None:
    for member in ("prompt", "metadata", "messages", "seed"):
        body = b'{"prompt":"a","%b":%b}' % (member.encode(), nested(levels))
        if levels < 1_000:
            await refused(node, body, 422, member)
        else:
            status, _ = await post(node, body)
            assert status in (400, 422)


@pytest.mark.parametrize(
    ("member", "status", "field"),
    [
        (b'"metadata":{"n":%b}' % (b"1" * 5_000), 400, None),
        (b'"metadata":{"n":1e400}', 400, None),
        (b'"metadata":{"n":NaN}', 400, None),
        (b'"metadata":{"n":"\\ud800"}', 400, None),
        (b'"metadata":{"n":"\xed\xa0\x80"}', 400, None),
        # It would come back as another number.
        (b'"metadata":{"n":18446744073709551616}', 422, None),
        (b'"metadata":{"n":-9223372036854775809}', 422, None),
        (b'"metadata":{"n":%b}' % (b"1" * 300), 422, None),
        (b'"metadata":{"%b":1}' % (b"k" * 20_000), 422, "metadata"),
        (b'"metadata":[%b]' % b",".join([b"1"] * 300_000), 422, "metadata"),
        (b'"messages":[%b]' % b",".join([b"1"] * 300_000), 422, "messages"),
        (b'"%b":1' % (b"k" * 500_000), 422, "k" * 64 + "…"),
        (b'"\\u0000\\u001b[2J":1', 422, "\0\x1b[2J"),
        (b'"seed":-1', 422, "seed"),
        (b'"seed":1.5', 422, "seed"),
        (b'"seed":1e308', 422, "seed"),
        (b'"seed":true', 422, "seed"),
        (b'"seed":18446744073709551615', 422, "seed"),
        (b'"schedule_in_ms":9223372036854775807', 422, "schedule_in_ms"),
        (b'"timeout_ms":1e300', 422, "timeout_ms"),
        (b'"temperature":1e308', 422, "temperature"),
        (b'"stop":["a",{}]', 422, "stop"),
        (b'"task_id":{"a":1}', 422, "task_id"),
        (b'"model":"\\u0000"', 422, "model"),
        (b'"model":"%b"' % (b"m" * 500_000), 422, "model"),
    ],
)
async def test_odd_members_are_refused(
    node: ScriptedNode, member: bytes, status: int, field: str | None
) -> None:
    await refused(node, b'{"prompt":"a",%b}' % member, status, field)


async def everywhere(node: ScriptedNode, task_id: str) -> list[Any]:
    """What each outlet of the node has of the task, which has ended."""
    found = [await node.task(task_id)]
    status, page = await node.call("GET", "/tasks")
    assert status == 200
    found += [each for each in page["tasks"] if each["task_id"] == task_id]
    url = f"{node.url}/socket/websocket?vsn=2.0.0"
    async with node.http.ws_connect(url) as socket:
        for topic, payload in ((f"task:{task_id}", {}), ("tasks:mine", {"offsets": {task_id: 0}})):
            await socket.send_str(json.dumps(["1", "1", topic, "phx_join", payload]))
        waiting = 2
        while waiting:
            *_, topic, _, payload = orjson.loads(await socket.receive_str(timeout=10))
            entries = [payload.get("response", {}), *payload.get("updates", ())]
            for entry in entries:
                if entry.get("task", {}).get("task_id") == task_id:
                    found.append(entry["task"])
                    waiting -= 1
    async with node.http.get(f"{node.url}/tasks/export") as response:
        rows = map(orjson.loads, (await response.read()).splitlines())
        requests = [row["request"] for row in rows if row["task_id"] == task_id]
    found += [{"metadata": orjson.loads(orjson.loads(each)["metadata"])} for each in requests]
    return found


@pytest.mark.parametrize(
    "metadata",
    [
        nested(LEVELS_MAX),
        b'{"a":18446744073709551615,"b":-9223372036854775808,"c":-0.0,"d":1e-400,"e":5e-324}',
        b'{"a":0.1111111111111111111111111111111111,"b":1234567890.123456789012345}',
        b'{"\\u0000":"\\u0000\\u001b\\u007f\\ufffe","":"","\\ud83e\\udd8a":"\xf0\x9f\xa6\x8a"}',
        b'{"a":1,"a":2}',
        b'{"a":"9999999999999999999999999"}',
        b"{}",
    ],
)
async def test_what_is_accepted_can_be_read_everywhere(node: ScriptedNode, metadata: bytes) -> None:
    status, answer = await post(node, b'{"prompt":"a","max_tokens":1,"metadata":%b}' % metadata)
    assert status == 202, answer
    task_id = answer["task_id"]
    async with node.watch(task_id) as channel:
        assert channel.reply["task"]["metadata"] == orjson.loads(metadata)
    await node.ended(task_id)
    await node.actor_gone(f"task:{task_id}")
    shown = [each["metadata"] for each in await everywhere(node, task_id)]
    assert shown == [orjson.loads(metadata)] * 5


@pytest.mark.parametrize(
    "prompt", [r"a\u0000b", r"\u001b[2J", r"\ufffe\uffff", r"a\u2028b", "\x7f"]
)
async def test_a_prompt_of_odd_characters_is_a_prompt(node: ScriptedNode, prompt: str) -> None:
    body = b'{"prompt":"%b","max_tokens":2,"stop":["\\u0000"]}' % prompt.encode()
    status, answer = await post(node, body)
    assert status == 202, answer
    shown = await node.ended(answer["task_id"])
    assert (shown["state"], shown["prompt"]) == ("completed", json.loads(f'"{prompt}"'))


@pytest.mark.parametrize("value", [b"5.0", b"5", b"5e0"])
async def test_a_whole_number_may_be_written_with_a_point(node: ScriptedNode, value: bytes) -> None:
    status, answer = await post(node, b'{"prompt":"a","max_tokens":%b}' % value)
    assert status == 202, answer
    shown = await node.task(answer["task_id"])
    assert shown["options"]["max_tokens"] == 5


BAD_OFFSETS = [b"1e308", b"-1", b"true", b'"5"', b"[]", b"0.5", b"1208925819614629174706176"]


@pytest_asyncio.fixture(loop_scope="module")
async def socket(
    node: ScriptedNode,
) -> AsyncIterator[aiohttp.ClientWebSocketResponse[Any]]:
    async with node.http.ws_connect(f"{node.url}/socket/websocket?vsn=2.0.0") as socket:
        yield socket
        # It has survived whatever was sent.
        await socket.send_str('[null,"9","phoenix","heartbeat",{}]')
        while orjson.loads(await socket.receive_str(timeout=10))[1] != "9":
            pass


async def ask(
    socket: aiohttp.ClientWebSocketResponse[Any], topic: str, event: str, payload: bytes
) -> dict[str, Any]:
    """Sends one message; the reply's payload."""
    head = json.dumps(["1", "2", topic, event])[:-1].encode()
    await socket.send_str((head + b"," + payload + b"]").decode())
    while True:
        _, ref, _, heard, reply = orjson.loads(await socket.receive_str(timeout=10))
        if (ref, heard) == ("2", "phx_reply"):
            return dict(reply)


@pytest.mark.parametrize("offset", BAD_OFFSETS)
async def test_an_offset_that_is_none_is_refused(
    node: ScriptedNode, socket: aiohttp.ClientWebSocketResponse[Any], offset: bytes
) -> None:
    task_id = await node.submit("a", schedule_in_ms=60_000)
    for topic, payload, field in (
        (f"task:{task_id}", b'{"offset":%b}', "offset"),
        ("tasks:mine", b'{"offsets":{"%b":%%b}}' % task_id.encode(), "offsets"),
    ):
        reply = await ask(socket, topic, "phx_join", payload % offset)
        assert (reply["status"], reply["response"]["field"]) == ("error", field)


@pytest.mark.parametrize("offset", [b"18446744073709551615", b"1e3", b"-0", b"-0.0", b"7.0"])
async def test_an_offset_beyond_the_text_is_where_the_text_ends(
    node: ScriptedNode, socket: aiohttp.ClientWebSocketResponse[Any], offset: bytes
) -> None:
    task_id = await node.submit("a", schedule_in_ms=60_000)
    reply = await ask(socket, f"task:{task_id}", "phx_join", b'{"offset":%b}' % offset)
    assert (reply["status"], reply["response"]["offset"]) == ("ok", 0)
    payload = b'{"offsets":{"%b":%b}}' % (task_id.encode(), offset)
    assert (await ask(socket, "tasks:mine", "phx_join", payload))["status"] == "ok"


@pytest.mark.parametrize("levels", [LEVELS_MAX + 1, 1_000])
async def test_a_payload_that_is_nested_too_deep_is_answered(
    node: ScriptedNode, socket: aiohttp.ClientWebSocketResponse[Any], levels: int
) -> None:
    task_id = await node.submit("a", schedule_in_ms=60_000)
    topic = f"task:{task_id}"
    deep = {"reason": f"the payload is nested deeper than {LEVELS_MAX} levels"}
    for event in ("phx_join", "cancel", "phx_leave"):
        assert await ask(socket, topic, event, nested(levels)) == {
            "status": "error",
            "response": deep,
        }
    assert (await ask(socket, topic, "phx_join", nested(LEVELS_MAX)))["status"] == "ok"


@pytest.mark.parametrize(
    "event_id",
    ["1" * 5_000, "18446744073709551616", "-1", "1e3", "%C2%B2", "\u00b2", "0x10", "1.0"],
)
async def test_an_event_id_that_is_none_of_ours_is_refused(
    node: ScriptedNode, event_id: str
) -> None:
    task_id = await node.submit("a", schedule_in_ms=60_000)
    headers = {"Last-Event-ID": event_id}
    async with node.http.get(f"{node.url}/tasks/{task_id}/events", headers=headers) as response:
        assert 400 <= response.status < 500
