"""What models in folders of repositories are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.inference.places.names import is_model, named, quantisation_of


@pytest.mark.parametrize(
    ("file", "quantisation"),
    [
        ("Qwen3-0.6B-Q4_K_M.gguf", "Q4_K_M"),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        ("qwen2.5-0.5b-instruct-q8_0.gguf", "Q8_0"),
        ("gemma-3-1b-it-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("x-IQ3_XXS-00001-of-00003.gguf", "IQ3_XXS"),
        ("ggml-model-bf16.gguf", "BF16"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("Q4_0.gguf", "Q4_0"),
        ("tinyllama-1.1b.gguf", ""),
        ("esq4_0.gguf", ""),
    ],
)
def test_the_quantisation_by_the_files_name(file: str, quantisation: str) -> None:
    assert quantisation_of(Path(file)) == quantisation


@pytest.mark.parametrize(
    ("file", "model"),
    [
        ("a.gguf", True),
        ("a-00001-of-00003.gguf", True),
        ("a-00002-of-00003.gguf", False),
        ("mmproj-a-f16.gguf", False),
        (".a.gguf", False),
        ("a.gguf.part", False),
        ("a.safetensors", False),
    ],
)
def test_which_files_are_models(file: str, model: bool) -> None:
    assert is_model(Path("/folder") / file) is model


def test_each_file_has_a_name_of_its_own() -> None:
    files = [Path("a-Q4_0.gguf"), Path("b-Q4_0.gguf"), Path("c.gguf"), Path("d.gguf")]
    assert named("o/r", files) == {
        "o/r:Q4_0": files[0], "o/r/b-Q4_0": files[1], "o/r": files[2], "o/r/d": files[3],
    }  # fmt: skip
