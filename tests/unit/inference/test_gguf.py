"""Headers of model files, whole and damaged."""

from __future__ import annotations

import io
import struct

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ModelError
from edge.inference.gguf import QUANTISATIONS, Header, Shape, read_header


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def small_gguf(*, kind: int = 0, version: int = 3, tensors: int = 1) -> bytes:
    """One tensor of 64 elements (4 bytes each in type 0) behind a header with a bit of all."""
    head = b"GGUF" + struct.pack("<IQQ", version, tensors, 4)
    head += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    head += text("llama.context_length") + struct.pack("<II", 4, 512)
    head += text("words") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("bc")
    head += text("scores") + struct.pack("<IIQ", 9, 6, 2) + struct.pack("<ff", 0.5, 1.5)
    head += text("weights") + struct.pack("<IQQIQ", 2, 8, 8, kind, 0)
    head += bytes(-len(head) % 32)
    return head + bytes(256)


def read(data: bytes) -> Header:
    return read_header(io.BytesIO(data), len(data), "model.gguf")


def test_a_whole_file_says_what_it_is() -> None:
    header = read(small_gguf())
    assert header == Header(3, 1, "llama", "", 512, Shape(weights_bytes=256), parameters=64)
    assert header.metadata == {"general.architecture": "llama", "llama.context_length": 512}


def test_a_tensor_of_an_unknown_type_is_no_damage() -> None:
    assert read(small_gguf(kind=999)).tensors == 1


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "not a GGUF"),
        (b"GG", "not a GGUF"),
        (b"<!DOCTYPE html>", "not a GGUF"),
        (b"GGUF", "middle of its header"),
        (small_gguf(version=1), "version 1"),
        (small_gguf(version=0x03000000), "version"),
        (small_gguf(tensors=0), "no tensors"),
        (small_gguf(tensors=2**60), "impossible number"),
        (small_gguf()[:-1], "cut short"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence) as caught:
        read(data)
    assert str(caught.value).startswith("model.gguf cannot be used as a model: ")


def test_no_beginning_of_a_file_passes_for_the_whole() -> None:
    data = small_gguf()
    for size_bytes in range(len(data)):
        with pytest.raises(ModelError):
            read(data[:size_bytes])


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 230), st.binary(min_size=1, max_size=8))
def test_garbage_in_a_header_is_a_header_or_a_model_error(at: int, noise: bytes) -> None:
    data = bytearray(small_gguf())
    data[at : at + len(noise)] = noise
    try:
        header = read(bytes(data))
    except ModelError:
        return
    assert header.tensors > 0


def of_architecture(name: str, *facts: bytes) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 1 + len(facts))
    head += text("general.architecture") + struct.pack("<I", 8) + text(name) + b"".join(facts)
    head += text("weights") + struct.pack("<IQQIQ", 2, 8, 8, 0, 0)
    return head + bytes(-len(head) % 32) + bytes(256)


def told(**facts: str | int) -> Header:
    """The header of a file that says this of itself, under ``general`` and ``split``."""
    entries = []
    for name, value in facts.items():
        if isinstance(value, str):
            entry = struct.pack("<I", 8) + text(value)
        else:
            entry = struct.pack("<II", 4, value)
        entries.append(text(name.replace("_", ".", 1)) + entry)
    return read(of_architecture("llama", *entries))


def test_quantisations_have_the_names_of_llama_cpp() -> None:
    known = {each.value: each.name for each in gguf.LlamaFileType}
    for number, name in QUANTISATIONS.items():
        assert known[number].removeprefix("ALL_").removeprefix("MOSTLY_") in (name, f"{name}_MOE")
    assert told(general_file_type=15).quantisation == "Q4_K_M"
    assert told(general_file_type=1024).quantisation == ""
    assert told(general_file_type="15").quantisation == ""


def test_the_licence_is_as_the_file_has_it() -> None:
    assert told(general_license="apache-2.0").licence == "apache-2.0"


@pytest.mark.parametrize(("kind", "says"), [("adapter", "adapter"), ("mmproj", "projector")])
def test_what_is_a_part_of_another_model_cannot_generate(kind: str, says: str) -> None:
    assert says in told(general_type=kind).cannot_generate
    assert told(general_type="model").cannot_generate == ""


POOLING = text("qwen3.pooling_type") + struct.pack("<II", 4, 3)
NO_POOLING = text("qwen3.pooling_type") + struct.pack("<II", 4, 0)
BOTH_WAYS = text("llama.attention.causal") + struct.pack("<IB", 7, 0)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (of_architecture("bert"), "encoder"),
        (of_architecture("nomic-bert-moe"), "encoder"),
        (of_architecture("t5"), "encoder and a decoder"),
        (of_architecture("dream"), "diffusion"),
        (of_architecture("qwen3", POOLING), "embeddings"),
        (of_architecture("llama", BOTH_WAYS), "embeddings"),
    ],
)
def test_what_cannot_write_says_so_in_its_header(data: bytes, sentence: str) -> None:
    assert sentence in read(data).cannot_generate


@pytest.mark.parametrize("data", [small_gguf(), of_architecture("qwen3", NO_POOLING)])
def test_what_can_write_is_not_suspected(data: bytes) -> None:
    assert read(data).cannot_generate == ""


@given(st.lists(st.integers(0, 70_000), max_size=12), st.integers(65_515, 65_550))
def test_long_lists_of_texts_are_passed_over_to_what_comes_behind(
    lengths: list[int], edge: int
) -> None:
    """Also where a text, or its length, lies across the end of what is read at once."""
    texts = b"".join(struct.pack("<Q", length) + bytes(length) for length in [*lengths, edge, 3, 0])
    many = struct.pack("<IIQ", 9, 8, len(lengths) + 3) + texts
    header = read(
        of_architecture(
            "llama",
            text("words") + many,
            text("general.license") + struct.pack("<I", 8) + text("x"),
        )
    )
    assert header.licence == "x"
    with pytest.raises(ModelError, match="middle of its header"):
        read(of_architecture("llama", text("words") + many)[: 60 + len(many) // 2])
