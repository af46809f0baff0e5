"""What the headers of files say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.errors import ModelError
from edge.inference.description import TEXT_CHARS_MAX, describe
from tests.support.smollm2 import smollm2


def test_a_real_model() -> None:
    described = describe(smollm2())
    assert described.parameters == 134_515_008
    assert described.metadata["general.architecture"] == "llama"
    assert "<|im_start|>" in described.template
    assert (described.architecture, described.quantisation) == ("llama", "Q4_1")
    assert (described.licence, described.context_tokens) == ("apache-2.0", 8_192)
    texts = [each for each in described.metadata.values() if isinstance(each, str)]
    assert all(len(text) <= TEXT_CHARS_MAX for text in texts)
    assert "tokenizer.chat_template" not in described.metadata


def test_a_file_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    link = tmp_path / "model.gguf"
    link.symlink_to(smollm2())
    assert describe(link) is describe(link)
    link.unlink()
    link.write_bytes(b"no model")
    os.utime(link, ns=(1, 1))
    with pytest.raises(ModelError, match="not a GGUF"):
        describe(link)
    link.unlink()
    with pytest.raises(ModelError, match="cannot read"):
        describe(link)
