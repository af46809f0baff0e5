"""The shipped file: whole, small, and computing in llama.cpp what PyTorch computed.

llama.cpp runs in a child process, so that it cannot take the tests down with it.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.train.chat import CHAT_TEMPLATE
from models.train.llama_worker import ask
from models.train.verify_export import LOSS_DIFFERENCE_MAX, relative_loss_difference

MODELS = Path(__file__).parents[2] / "models"
MODEL = MODELS / "elwift-tiny.gguf"
SIZE_BYTES_MAX = 16 * 1024 * 1024

needs_llama = pytest.importorskip("llama_cpp", reason="install llama-cpp-python to run these")


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    (model,) = tomllib.loads((MODELS / "manifest.toml").read_text())["model"]
    return dict(model)


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return dict(json.loads((Path(__file__).parent / "reference.json").read_text()))


def test_the_manifest_describes_the_file(manifest: dict[str, Any]) -> None:
    data = MODEL.read_bytes()
    assert manifest["name"] == "elwift-tiny"
    assert manifest["file"] == MODEL.name
    assert manifest["size_bytes"] == len(data)
    assert manifest["sha256"] == hashlib.sha256(data).hexdigest()
    assert manifest["context"] == 512
    assert 5_000_000 <= manifest["parameters"] <= 15_000_000


def test_the_file_fits_into_the_wheel() -> None:
    assert MODEL.stat().st_size <= SIZE_BYTES_MAX


def test_llama_cpp_computes_pytorchs_loss(reference: dict[str, Any]) -> None:
    assert relative_loss_difference(reference, MODEL) < LOSS_DIFFERENCE_MAX


def test_llama_cpp_tokenises_as_in_training(reference: dict[str, Any]) -> None:
    texts = reference["tokenised"]
    jobs = [{"do": "round_trip", "text": text["text"]} for text in texts]
    results = ask(MODEL, jobs)
    assert [result["tokens"] for result in results] == [text["tokens"] for text in texts]


# Each example is many texts, because each starts a process.
@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(), min_size=40, max_size=80))
def test_any_text_comes_back_byte_for_byte(texts: list[str]) -> None:
    results = ask(MODEL, [{"do": "round_trip", "text": text} for text in texts])
    assert [bytes.fromhex(result["bytes"]) for result in results] == [
        text.encode() for text in texts
    ]


def test_the_chat_template_travels_in_the_file() -> None:
    (template,) = ask(MODEL, [{"do": "metadata", "key": "tokenizer.chat_template"}])
    assert template == CHAT_TEMPLATE
    rendered = ImmutableSandboxedEnvironment().from_string(template)
    turns = [{"role": "user", "content": "Tell me a story."}]
    text = rendered.render(messages=turns, add_generation_prompt=True)
    assert text.endswith("<|im_end|>\n<|im_start|>assistant\n")


def test_a_story_ends_by_itself() -> None:
    prompt = "<|im_start|>user\nTell me a story about a boy and a red boat<|im_end|>\n"
    job = {
        "do": "sample",
        "prompt": prompt + "<|im_start|>assistant\n",
        "seed": 1,
        "temperature": 0.7,
        "count": 480,
    }
    (story,) = ask(MODEL, [job])
    assert story["ended"]
    assert story["tokens"] > 40
    assert "<|" not in story["text"]


def test_a_file_that_is_no_model_is_an_error_not_a_crash(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    with pytest.raises(RuntimeError, match=r"broken\.gguf"):
        ask(broken, [])
