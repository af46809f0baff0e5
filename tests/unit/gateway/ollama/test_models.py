"""What is told of models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.gateway.calls.names import Known
from edge.gateway.ollama import models
from edge.inference import ModelFile
from edge.inference.description import UNKNOWN, Description

FILE = ModelFile("tiny", Path("tiny.gguf"), 99, 4_096)
KNOWN = Known("tiny", (), 1, 2_048, 4_096, 99, FILE)
DESCRIBED = Description(
    134_515_008, {"general.name": "Tiny", "llama.context_length": 4_096, "llama.block_count": 30},
    "{{ messages }}", "llama", "Q8_0", "mit", 4_096,
)  # fmt: skip


def nulls(value: Any) -> bool:
    """Whether there is one anywhere."""
    if isinstance(value, dict):
        return any(map(nulls, value.values()))
    if isinstance(value, list):
        return any(map(nulls, value))
    return value is None


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tiny", "tiny:latest"), ("qwen3:0.6b", "qwen3:0.6b"), ("a/b", "a/b:latest"),
        ("a/b:Q4_K_M", "a/b:Q4_K_M"), ("host:80/a/b", "host:80/a/b:latest"),
    ],
)  # fmt: skip
def test_every_name_has_a_tag(name: str, told: str) -> None:
    assert models.name_of(KNOWN._replace(name=name)) == told


@pytest.mark.parametrize("described", [DESCRIBED, UNKNOWN])
@pytest.mark.parametrize("known", [KNOWN, KNOWN._replace(context_tokens=0, trained_tokens=0)])
def test_nothing_is_null(described: Description, known: Known) -> None:
    told = [
        models.tag(known, described, 5), models.running(known, described, 5, 6),
        models.show(known, described, 5),
    ]  # fmt: skip
    assert not nulls(told)


def test_an_entry_of_the_list() -> None:
    entry = models.tag(KNOWN, DESCRIBED, 5)
    assert (entry["name"], entry["model"], entry["size"]) == ("tiny:latest", "tiny:latest", 99)
    assert entry["modified_at"] == "1970-01-01T00:00:00.000000005Z"
    assert entry["details"] == {
        "parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
        "parameter_size": "134.52M", "quantization_level": "Q8_0",
    }  # fmt: skip


def test_the_context_is_what_a_request_may_have() -> None:
    shown = models.show(KNOWN, DESCRIBED, 5)
    info = shown["model_info"]
    assert info["llama.context_length"] == 2_048
    assert (info["general.architecture"], info["llama.block_count"]) == ("llama", 30)
    assert info["general.basename"] == "tiny"
    assert shown["parameters"].split() == ["num_ctx", "2048"]
    assert (shown["template"], shown["license"]) == ("{{ messages }}", "mit")
    assert shown["capabilities"] == ["completion", "tools"]
    thinking = replace(DESCRIBED, template="{{ '<think>' }} {{ '</think>' }}")
    assert "thinking" in models.show(KNOWN, thinking, 5)["capabilities"]


def test_of_a_model_that_never_ran_the_file_says_the_context() -> None:
    info = models.show(KNOWN._replace(context_tokens=0), DESCRIBED, 5)["model_info"]
    assert info["llama.context_length"] == 4_096


def test_a_digest_is_another_for_another_file() -> None:
    first = models.digest(KNOWN, DESCRIBED, 5)
    assert len(first) == 64
    assert first == models.digest(KNOWN, DESCRIBED, 5)
    assert first != models.digest(KNOWN, DESCRIBED, 6)
    assert first != models.digest(KNOWN, replace(DESCRIBED, parameters=1), 5)


@pytest.mark.parametrize(
    ("number", "told"),
    [(0, "0"), (999, "999"), (5_000, "5K"), (134_515_008, "134.52M"), (8_030_261_248, "8.0B")],
)
def test_numbers_are_told_as_they_are_spoken_of(number: int, told: str) -> None:
    assert models.short(number) == told
