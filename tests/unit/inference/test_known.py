"""Which models a client may name, and how."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.clock import NS_PER_MS, ManualClock
from edge.errors import InvalidRequest, ModelError
from edge.inference.known import AGAIN_MS, NAMES_SHOWN, KnownModels, UnknownModel, plain_name
from edge.inference.model_file import ModelFile

OWN = ModelFile("SmolLM2", Path("/m/smollm2-q8.gguf"), 100, 2_048)
QWEN = ModelFile("qwen3:latest", Path("/o/sha256-ab.gguf"), 200, 0)
REPO = ModelFile("acme/Tiny-GGUF:Q4_K_M", Path("/h/tiny-q4.gguf"), 300, 0)


class House:
    """What there is on a machine, and how often somebody looked."""

    def __init__(self, *models: ModelFile) -> None:
        self.models = list(models)
        self.clock = ManualClock()
        self.scans = 0
        self.checks: list[str] = []
        self.bad: set[str] = set()
        self.gate: asyncio.Event | None = None
        self.known = KnownModels(
            OWN, self._scan, self.clock, aliases=["gpt-4o"], off_loop=self._off_loop,
            check=self._check,
        )  # fmt: skip

    async def _off_loop(self, call: Callable[[], Any]) -> Any:
        if self.gate is not None:
            await self.gate.wait()
        return call()

    def _scan(self) -> list[ModelFile]:
        self.scans += 1
        return list(self.models)

    def _check(self, model: ModelFile) -> ModelFile:
        self.checks.append(model.name)
        if model.name in self.bad:
            raise ModelError(f"{model.path} is cut off")
        return replace(model, context_tokens=512)


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        (None, "SmolLM2"), ("", "SmolLM2"), (" ", "SmolLM2"), ("smollm2", "SmolLM2"),
        ("SmolLM2:latest", "SmolLM2"), ("smollm2-q8.gguf", "SmolLM2"), ("GPT-4o", "SmolLM2"),
        ("Qwen3", "qwen3:latest"), ("qwen3:latest", "qwen3:latest"),
        ("ACME/tiny-gguf:q4_k_m", "acme/Tiny-GGUF:Q4_K_M"), ("tiny-Q4", "acme/Tiny-GGUF:Q4_K_M"),
    ],
)  # fmt: skip
async def test_names_are_taken_as_people_write_them(wanted: str | None, name: str) -> None:
    assert (await House(QWEN, REPO).known.find(wanted)).name == name


async def test_a_found_model_has_what_its_file_says_which_is_read_once() -> None:
    house = House(QWEN)
    for _ in range(3):
        assert (await house.known.find("qwen3")).context_tokens == 512
    assert house.checks == ["qwen3:latest"]


async def test_the_own_model_needs_nobody_to_look() -> None:
    house = House(QWEN)
    assert await house.known.find("gpt-4o") is OWN
    assert house.scans == 0
    assert house.known.models == (OWN,)


async def test_a_name_that_is_not_known_is_looked_for_but_not_all_the_time() -> None:
    house = House(QWEN)
    for _ in range(5):
        with pytest.raises(UnknownModel, match="here; there are SmolLM2, qwen3"):
            await house.known.find("tiny-q4")
    assert house.scans == 1
    house.models.append(REPO)
    house.clock.advance(AGAIN_MS * NS_PER_MS)
    assert (await house.known.find("tiny-q4")).name == REPO.name
    assert house.scans == 2


async def test_those_who_ask_at_once_look_once() -> None:
    house = House(QWEN)
    house.gate = asyncio.Event()
    asking = [asyncio.ensure_future(house.known.find("qwen3")) for _ in range(10)]
    await asyncio.sleep(0)
    asking[0].cancel()
    house.gate.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert {each.name for each in found[1:] if isinstance(each, ModelFile)} == {"qwen3:latest"}
    assert house.scans == 1


async def test_one_that_is_of_no_use_is_refused_without_its_path() -> None:
    house = House(QWEN)
    house.bad.add(QWEN.name)
    with pytest.raises(InvalidRequest) as refused:
        await house.known.find("qwen3")
    assert refused.value.field == "model"
    assert "/o/" not in str(refused.value)


async def test_a_path_is_no_name() -> None:
    with pytest.raises(UnknownModel):
        await House(QWEN).known.find("/o/sha256-ab.gguf")


async def test_a_file_that_was_replaced_is_read_again() -> None:
    house = House(QWEN)
    await house.known.find("qwen3")
    house.models[0] = replace(QWEN, size_bytes=201)
    house.clock.advance(AGAIN_MS * NS_PER_MS)
    assert [each.size_bytes for each in await house.known.all()] == [100, 201]
    assert (await house.known.find("qwen3")).size_bytes == 201


async def test_one_that_was_removed_is_not_known_any_more() -> None:
    house = House(QWEN)
    await house.known.find("qwen3")
    house.models.clear()
    house.clock.advance(AGAIN_MS * NS_PER_MS)
    assert await house.known.all() == (OWN,)
    with pytest.raises(UnknownModel):
        await house.known.find("qwen3")


async def test_of_very_many_only_some_are_named_in_an_answer() -> None:
    house = House(*(replace(QWEN, name=f"m{number}", path=Path(f"/m/{number}.gguf"))
                    for number in range(500)))  # fmt: skip
    with pytest.raises(UnknownModel) as refused:
        await house.known.find("x" * 10_000)
    assert f"and {501 - NAMES_SHOWN} more" in str(refused.value)
    assert len(str(refused.value)) < 500


async def test_the_own_model_is_told_once_though_it_is_found_too() -> None:
    again = replace(OWN, name="somewhere/smollm2")
    assert await House(OWN, again).known.all() == (OWN,)


def test_what_spellings_have_in_common() -> None:
    assert plain_name(" Qwen3:Latest ") == plain_name("qwen3") == plain_name("QWEN3.gguf")
