"""`/metrics` of a real node, as Prometheus reads it, and the queries that are made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.support.node_inside import ScriptedNode, scripted_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

GRAFANA = Path(__file__).parents[2] / "grafana"
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.3"}
OF_PROMETHEUS = {"up"}
SECRET = "a-secret-of-some-length"


async def scrape(node: ScriptedNode, **headers: str) -> tuple[int, str, str]:
    async with node.http.get(f"{node.url}/metrics", headers=headers) as response:
        return response.status, response.headers["Content-Type"], await response.text()


def samples(families: Any) -> dict[str, set[str]]:
    """The labels of all series, by their names."""
    found: dict[str, set[str]] = {}
    for family in families:
        assert isinstance(family, Metric)
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


async def test_both_texts_say_the_same(node: ScriptedNode) -> None:
    await node.ended(await node.submit("count 5"))
    status, kind, text = await scrape(node)
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    status, other_kind, other = await scrape(node, **OPENMETRICS)
    assert status == 200
    assert other_kind.startswith("application/openmetrics-text; version=1.0.0")
    assert other.endswith("# EOF\n")
    plain = samples(read_text(text))
    open_metrics = samples(read_openmetrics(other))  # type: ignore[no-untyped-call]  # it has no types
    assert {name for name in plain if not name.endswith("_created")} == {
        name for name in open_metrics if not name.endswith("_created")
    }


async def test_the_figures_are_those_of_the_node(node: ScriptedNode) -> None:
    await node.ended(await node.submit("count 7"))
    _, _, text = await scrape(node)
    families = {family.name: family for family in read_text(text)}
    ended = sum(sample.value for sample in families["elwift_tasks_ended"].samples
                if sample.name == "elwift_tasks_ended_total")  # fmt: skip
    assert node.node._parts is not None
    assert ended == sum(node.node._parts.ends.counts.values())
    (generated,) = (
        sample.value
        for sample in families["elwift_tokens_generated"].samples
        if sample.name.endswith("_total")
    )
    steps = [event.measurements for event in node.heard.of("engine.step")]
    assert generated >= sum(int(str(each["tokens"])) for each in steps) > 0
    frames = {each.name: each.value for each in families["elwift_step_to_frame_seconds"].samples}
    assert frames["elwift_step_to_frame_seconds_count"] > 0
    assert frames["elwift_step_to_frame_seconds_sum"] < 60 * frames[
        "elwift_step_to_frame_seconds_count"
    ]  # fmt: skip


def expressions() -> Iterator[str]:
    board = json.loads((GRAFANA / "elwift.json").read_text(encoding="utf-8"))
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    rules = yaml.safe_load((GRAFANA / "elwift-alerts.yml").read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
            assert rule["annotations"].keys() == {"summary", "description"}
            yield rule["expr"]


async def test_what_is_asked_of_them_is_there(node: ScriptedNode) -> None:
    await node.ended(await node.submit("count 3"))
    _, _, text = await scrape(node)
    there = samples(read_text(text))
    # Series with a label are there once something of theirs has happened.
    there["elwift_supervisor_restarts_total"] = {"child"}
    there["elwift_requests_refused_total"] = {"cause"}
    for expression in expressions():
        assert expression.count("(") == expression.count(")")
        named = re.findall(r"\b(elwift_\w+|up)\b(?:\{([^}]*)\})?", expression)
        assert named, expression
        labels = {"instance", "job"}
        for name, selected in named:
            assert name in there or name in OF_PROMETHEUS, name
            labels |= there.get(name, set())
            assert set(re.findall(r"(\w+)\s*[!=]~?=?\s*\"", selected)) <= labels, expression
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            assert {each.strip() for each in grouped.split(",")} <= labels, expression


async def test_with_tokens_it_is_for_who_has_one(tmp_path: Path) -> None:
    async with scripted_node(tmp_path, server__tokens={"ada": SECRET}) as node:
        status, _, text = await scrape(node)
        assert (status, "elwift_" in text) == (401, False)
        status, _, text = await scrape(node, Authorization=f"Bearer {SECRET}")
        assert status == 200
        assert "ada" not in text
