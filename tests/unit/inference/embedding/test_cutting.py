"""Whose vectors may be cut, by the names of files as they go round."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.inference import ModelFile
from edge.inference.embedding.cutting import may_be_cut


@pytest.mark.parametrize(
    ("name", "architecture", "expected"),
    [
        ("nomic-embed-text-v1.5.Q8_0", "nomic-bert", True),
        ("nomic-embed-text-v1.Q8_0", "nomic-bert", False),
        ("Qwen3-Embedding-0.6B-Q8_0", "qwen3", True),
        ("embeddinggemma-300M-Q8_0", "gemma-embedding", True),
        ("model", "gemma-embedding", True),
        ("mxbai-embed-large-v1-f16", "bert", True),
        ("snowflake-arctic-embed-m-v1.5", "bert", True),
        ("snowflake-arctic-embed-m-v1", "bert", False),
        ("snowflake-arctic-embed-l-v2.0", "bert", True),
        ("jina-embeddings-v3", "jina-bert-v3", True),
        ("all-MiniLM-L6-v2", "bert", False),
        ("bge-m3", "bert", False),
    ],
)
def test_by_name(name: str, architecture: str, expected: bool) -> None:
    path = Path(f"{name}.gguf")
    assert may_be_cut(ModelFile(name, path, 1, 512, architecture)) is expected
    # By what the file calls itself, whatever it is called.
    described = ModelFile("x", Path("x.gguf"), 1, 512, architecture, description=name)
    assert may_be_cut(described) is expected
