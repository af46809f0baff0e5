"""The list of good small models."""

from __future__ import annotations

import pytest

from edge.inference.fit import needs_bytes
from edge.inference.pulling.catalogue import CATALOGUE, Entry
from edge.inference.pulling.wanted import Repository, read


def test_names_are_there_once_and_can_be_pulled() -> None:
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE) >= 12
    for entry in CATALOGUE:
        assert read(entry.name) == Repository(entry.repository, entry.quantisation, entry.name)
        assert read(entry.repository) == Repository(entry.repository)


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_what_is_said_of_each_is_possible(entry: Entry) -> None:
    shape = entry.shape
    assert shape.heads % shape.kv_heads[0] == 0
    # Its numbers as if they had four or eight bits, within what a file adds.
    numbers = shape.vocabulary * shape.width + shape.layers * shape.width * (
        3 * shape.feed_forward
        + shape.heads * shape.key_length * 2
        + 2 * shape.kv_heads[0] * shape.key_length
    )
    bits = entry.size_mb * 8e6 / numbers
    assert (8 <= bits <= 12) if entry.quantisation == "Q8_0" else (4 <= bits <= 8), bits
    needs = needs_bytes(shape, cache_tokens=4_096, batch_tokens=512, slots=1, kv_type="f16")
    assert needs > shape.weights_bytes
