"""The models that can be asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from edge.actors import ChildSpec
from edge.gateway.calls.errors import UnknownModel
from edge.gateway.calls.models import Models
from edge.gateway.facts import NodeFacts
from edge.inference import ModelFile
from edge.inference.known import KnownModels
from edge.inference.pool import Limits, Loadable, Pool
from edge.services.task.turns import Turns
from edge.storage import Store
from tests.support.ears import Quiet

FILE = ModelFile("tiny", Path("tiny-Q4_0.gguf"), 99, 4_096)
OTHER = ModelFile("other:1b", Path("other.gguf"), 7, 0)


async def _at_once(call: Callable[[], Any]) -> Any:
    return call()


def _no_engine(_loadable: Loadable, _name: str) -> ChildSpec:
    raise AssertionError("nothing is loaded here")


def models(context_tokens: int = 0) -> Models:
    house = Quiet()
    known = KnownModels(
        FILE, lambda: [OTHER], house.clock, aliases=["gpt-4o"], off_loop=_at_once,
        check=lambda model: replace(model, context_tokens=512),
    )  # fmt: skip

    async def find(wanted: str | None) -> Loadable:
        model = await known.find(wanted)
        return Loadable(model, lambda _safe: (), 1, model.context_tokens // 2)

    own = Loadable(FILE, lambda _safe: (), 1, 4_096)
    pool = Pool(own, house.system, Limits(9, 0, -1), find=find, spec=_no_engine)
    turns = Turns(house.system, waiting_max=1, step_ms=0, pool=pool)
    facts = NodeFacts(
        house.system, cast(Store, None), "tiny", context_tokens, turns=turns, pool=pool
    )
    return Models(facts, pool, known, 7)


async def test_each_has_its_names() -> None:
    for wanted in (None, "", "tiny", "TINY:latest", "tiny-q4_0", "gpt-4o"):
        assert (await models().find(wanted)).name == "tiny"
    assert (await models().find("OTHER:1b")).name == "other:1b"
    with pytest.raises(UnknownModel, match="not found"):
        await models().find("nobody")


async def test_its_context_is_what_the_engine_has_once_that_is_known() -> None:
    known = models().own
    assert (known.context_tokens, known.created_s, known.size_bytes) == (4_096, 7, 99)
    assert models(2_048).own.context_tokens == 2_048
    assert (await models().find("other:1b")).context_tokens == 256


async def test_all_are_listed_whose_files_nobody_has_read() -> None:
    listed = await models().all()
    assert [(each.name, each.context_tokens) for each in listed] == [
        ("tiny", 4_096),
        ("other:1b", 0),
    ]
