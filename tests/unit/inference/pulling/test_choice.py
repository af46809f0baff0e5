"""Which file of a repository is meant."""

from __future__ import annotations

import pytest

from edge.errors import ModelError
from edge.inference.pulling.choice import RemoteFile, choose


def files(*names: str) -> list[RemoteFile]:
    return [RemoteFile(name) for name in names]


ALL = ("README.md", "it-Q2_K.gguf", "it-Q4_0.gguf", "it-Q4_K_M.gguf", "mmproj-it-f16.gguf")


@pytest.mark.parametrize(
    ("names", "quantisation", "chosen"),
    [
        (ALL, "", "it-Q4_K_M.gguf"),
        (ALL[:3], "", "it-Q4_0.gguf"),
        (ALL, "q2_k", "it-Q2_K.gguf"),
        (("only.gguf",), "", "only.gguf"),
        (("sub/it-F16.gguf",), "F16", "sub/it-F16.gguf"),
    ],
)
def test_the_one_that_is_named_or_usual(
    names: tuple[str, ...], quantisation: str, chosen: str
) -> None:
    assert choose("o/r", files(*names), quantisation).path == chosen


@pytest.mark.parametrize(
    ("names", "quantisation", "says"),
    [
        ((), "", "no GGUF file"),
        (("model.safetensors", "mmproj-it.gguf"), "", "no GGUF file"),
        (ALL, "Q3_K_M", r"no file of Q3_K_M; .*: Q2_K, Q4_0, Q4_K_M$"),
        (("a-IQ1_S.gguf", "b.gguf"), "", r"several files; .*: IQ1_S, b\.gguf$"),
        (("it-Q8_0-00001-of-00002.gguf", "it-Q8_0-00002-of-00002.gguf"), "", "in several files"),
    ],
)
def test_what_cannot_be_told_is_said(names: tuple[str, ...], quantisation: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        choose("o/r", files(*names), quantisation)
