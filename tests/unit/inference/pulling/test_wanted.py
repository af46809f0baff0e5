"""What may be asked for."""

from __future__ import annotations

import pytest

from edge.errors import ModelError
from edge.inference.pulling.wanted import Repository, Web, is_safe, read


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Qwen/Qwen3-0.6B-GGUF", Repository("Qwen/Qwen3-0.6B-GGUF")),
        ("Qwen/Qwen3-0.6B-GGUF:q8_0", Repository("Qwen/Qwen3-0.6B-GGUF", "q8_0")),
        ("hf.co/o/r:Q4_K_M", Repository("o/r", "Q4_K_M")),
        ("QWEN3-0.6B", Repository("Qwen/Qwen3-0.6B-GGUF", "Q8_0", "qwen3-0.6b")),
        ("https://x.org/a/it%20is.gguf?k=1", Web("https://x.org/a/it%20is.gguf?k=1", "it is")),
        ("http://127.0.0.1:8000/it.gguf", Web("http://127.0.0.1:8000/it.gguf", "it")),
        ("https://x.org/", Web("https://x.org/", "")),
    ],
)
def test_all_three_ways(text: str, wanted: Repository | Web) -> None:
    assert read(text) == wanted


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gemma3-1b", "did you mean gemma-3-1b"),
        ("nobody", "no model that could be pulled. Give"),
        ("a/b/c", "OWNER/REPOSITORY"),
        ("../b", "OWNER/REPOSITORY"),
        ("a/..", "OWNER/REPOSITORY"),
        ("o/r:", "OWNER/REPOSITORY"),
        ("", "OWNER/REPOSITORY"),
        ("ftp://x.org/it.gguf", "begin with https"),
        ("https://", "begin with https"),
        ("https://[/it.gguf", "begin with https"),
        ("http://x.org/it.gguf", "changed by anybody"),
    ],
)
def test_anything_else_is_refused_with_a_way_out(text: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        read(text)


def test_what_nobody_on_the_way_can_change() -> None:
    assert is_safe("https://x.org/")
    assert is_safe("http://[::1]:80/")
    assert not is_safe("http://x.org/")
    assert not is_safe("https://[")
    assert not is_safe("")
