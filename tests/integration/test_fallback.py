"""When the model cannot: an earlier answer, another model, a notice; said, and never silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.errors import StartupError
from edge.inference.shipped import embedded
from tests.support.node_inside import Script, heard_text, scripted_node

WRITER = ("--rate", "100", "--says", "other")
OUT: dict[str, Any] = {"model__deaths_max": 0, "model__restart_base_ms": 1}
BROKEN = ("--dies-loading", "3")


async def test_the_other_model_goes_on_where_the_text_ends(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, fallback=Script(*WRITER), **OUT) as node:
        task_id = await node.submit("a story", max_tokens=200)
        async with node.watch(task_id) as channel:
            await heard_text(channel, 20)
            node.script.flags = BROKEN
            await node.kill_engine()
            await channel.until("fallback")
            marker = channel.last
            assert marker == {
                "seq": channel.seqs[-1][1], "source": "fallback_model", "offset": len(channel.text),
            }  # fmt: skip
            await channel.until("completed")
        task = await node.task(task_id)
        text, offset = task["result"]["text"], marker["offset"]
        assert text == channel.text
        assert set(text[:offset].split()) == {"word"}
        assert set(text[offset:].split()) == {"other"}
        assert task["tokens"] == task["result"]["usage"]["completion_tokens"] == 200
        assert (task["result"]["source"], task["result"]["degraded"]) == ("fallback_model", True)
        assert task["fallback"] == {"source": "fallback_model", "offset": offset}
        assert task["attempt"] == 0


async def test_the_embedded_model_goes_on_with_what_another_has_begun(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(embedded()[0].path.read_bytes())
    async with scripted_node(tmp_path, **OUT, model__name=str(own)) as node:
        task_id = await node.submit("Tell me a story about a dog", max_tokens=30, temperature=0)
        async with node.watch(task_id) as channel:
            await heard_text(channel, 10)
            node.script.flags = BROKEN
            await node.kill_engine()
            await channel.until("completed")
        task = await node.task(task_id)
        assert task["result"]["text"] == channel.text
        begun = channel.text[: task["fallback"]["offset"]]
        assert begun == "word " * (len(begun) // 5)
        assert len(channel.text) > len(begun)
        assert task["result"]["source"] == "fallback_model"
        # The prompt that the other model has read holds what was there of the answer.
        assert task["result"]["usage"]["prompt_tokens"] > len(begun.split())


async def test_a_death_of_the_other_engine_costs_a_pause(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, fallback=Script(*WRITER), **OUT) as node:
        node.script.flags = BROKEN
        await node.kill_engine()
        task_id = await node.submit("a story", max_tokens=100)
        async with node.watch(task_id) as channel:
            await heard_text(channel, 30)
            await node.kill_second_engine()
            await channel.until("completed")
        task = await node.task(task_id)
        assert task["result"]["text"] == channel.text == "other " * 100
        assert channel.events.count("fallback") == 1


async def test_the_same_client_gets_its_earlier_answer_again(tmp_path: Path) -> None:
    tokens = {"ada": "a secret of ada's own", "bob": "a secret of bob's own"}
    async with scripted_node(tmp_path, server__tokens=tokens, **OUT) as node:
        ada, bob = ({"Authorization": f"Bearer {token}"} for token in tokens.values())
        node.http.headers.update(ada)
        first = await node.submit("a story", max_tokens=5)
        assert (await node.ended(first))["result"]["source"] == "model"
        node.script.flags = BROKEN
        await node.kill_engine()
        again = await node.ended(await node.submit("a story", max_tokens=5))
        assert again["result"]["text"] == "word " * 5
        assert (again["result"]["source"], again["result"]["degraded"]) == ("history", True)
        other = await node.ended(await node.submit("another story", max_tokens=5))
        assert other["result"]["source"] == "notice"
        # What another answered in a pinch is no answer to be given again.
        same_other = await node.ended(await node.submit("another story", max_tokens=5))
        assert same_other["result"]["source"] == "notice"
        node.http.headers.update(bob)
        not_his = await node.ended(await node.submit("a story", max_tokens=5))
        assert not_his["result"]["source"] == "notice"


async def test_a_task_that_wants_no_other_answer_waits_for_the_model(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, **OUT, fallback__slots=1, model__given_up_ms=100) as node:
        working = node.script.flags
        node.script.flags = BROKEN
        await node.kill_engine()
        await node.heard.next("fallback.opened")
        proud = await node.submit("a story", max_tokens=5, fallback=False)
        humble = await node.ended(await node.submit("a story", max_tokens=5))
        assert humble["result"]["source"] == "notice"
        assert (await node.task(proud))["state"] == "available"
        assert (await node.call("GET", "/healthz"))[1]["status"] == "degraded"
        node.script.flags = working
        assert (await node.ended(proud))["result"]["source"] == "model"
        await node.heard.next("fallback.closed")


async def test_a_model_that_vanished_is_waited_for_and_the_text_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    path.write_bytes(embedded()[0].path.read_bytes())
    limits: dict[str, Any] = {"model__name": str(path), "model__given_up_ms": 100}
    async with scripted_node(tmp_path, real=True, **limits) as node:
        task_id = await node.submit(
            "Tell me a story", max_tokens=200, ignore_eos=True, fallback=False
        )
        async with node.watch(task_id) as channel:
            await heard_text(channel, 40)
            path.rename(tmp_path / "elsewhere")
            await node.kill_engine()
            given_up = await node.heard.next("engine.given_up")
            assert "cannot read the model" in str(given_up.fields["reason"])
            (tmp_path / "elsewhere").rename(path)
            await channel.until("completed")
        task = await node.task(task_id)
        assert task["result"]["text"] == channel.text
        assert (task["result"]["usage"]["completion_tokens"], task["attempt"]) == (200, 1)
        assert "rewind" not in channel.events


async def test_attempts_that_are_used_up_lead_to_another_answer(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, fallback=Script(*WRITER)) as node:
        # Too slow for its own limit, twice.
        fields = {"max_tokens": 100_000, "timeout_ms": 500, "max_attempts": 2}
        task_id = await node.submit("a story", **fields)
        async with node.watch(task_id) as channel:
            await channel.until("completed")
        task = await node.task(task_id)
        assert task["attempt"] == 2
        assert [error["code"] for error in task["errors"]] == ["timeout"] * 2
        # The other model has the same time, and is as slow.
        assert task["result"]["source"] == "notice"
        assert task["result"]["text"] == channel.text
        assert {"word", "other"} < set(channel.text.split())
        assert channel.text.endswith("Please try again later.")
        refused = await node.task(await node.submit("a story", **fields, fallback=False))
        failed = await node.ended(refused["task_id"])
        assert (failed["state"], failed["result"]) == ("discarded", None)


async def test_an_outage_is_waited_for_as_long_as_the_settings_say(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"fallback__outage_ms": 100, "model__restart_base_ms": 3_600_000}
    async with scripted_node(tmp_path, **limits, model__restart_max_ms=3_600_000) as node:
        await node.kill_engine()
        task = await node.ended(await node.submit("a story"))
        assert task["result"]["source"] == "notice"
        assert "restarting" in (await node.call("GET", "/healthz"))[1]["engine"]


async def test_a_node_starts_without_an_engine_that_dies(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, *BROKEN, **OUT) as node:
        assert node.started.slots == 0
        assert "the last words" in node.started.degraded
        assert (await node.ended(await node.submit("a story")))["result"]["source"] == "notice"


@pytest.mark.parametrize(
    ("flags", "settings"),
    [(BROKEN, {"fallback__enabled": False}), (("--refuses", "no model"), {})],
)
async def test_a_node_refuses_to_start(
    tmp_path: Path, flags: tuple[str, ...], settings: dict[str, Any]
) -> None:
    with pytest.raises(StartupError):
        async with scripted_node(tmp_path, *flags, **OUT, **settings):
            pass


async def test_who_was_handed_over_goes_on_so_after_a_restart(tmp_path: Path) -> None:
    other = Script("--rate", "20", "--says", "other")
    async with scripted_node(tmp_path, fallback=other, **OUT) as node:
        node.script.flags = BROKEN
        await node.kill_engine()
        task_id = await node.submit("a story", max_tokens=30)
        async with node.watch(task_id) as channel:
            await heard_text(channel, 30)
    async with scripted_node(tmp_path, fallback=other, **OUT) as node:
        task = await node.ended(task_id)
        assert task["result"]["text"] == "other " * 30
        assert task["result"]["source"] == "fallback_model"


async def test_the_second_engine_ends_when_it_is_not_wanted(tmp_path: Path) -> None:
    limits = OUT | {"fallback__idle_ms": 100}
    async with scripted_node(tmp_path, *BROKEN, fallback=Script(*WRITER), **limits) as node:
        for count in (1, 2):
            task = await node.ended(await node.submit("a story", max_tokens=2))
            assert task["result"]["text"] == "other other "
            await node.second("engine.started", count)
            await node.actor_gone("fallback engine")
