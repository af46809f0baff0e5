"""What fits into the memory of boxes of several sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine.batching.draft import ROWS_MAX
from edge.inference.fit import (
    CONTEXT_MIN,
    GUESSED_ROWS,
    SPARE_SHARE,
    Room,
    buffer_bytes,
    fit,
    kv_bytes_per_token,
    layer_bytes,
    needs_bytes,
)
from edge.inference.gguf import Shape

GIB: Final = 2**30
LLAMA_8B: Final = Shape(
    weights_bytes=int(4.6 * GIB), layers=32, width=4_096, feed_forward=14_336, heads=32,
    kv_heads=(8,) * 32, key_length=128, value_length=128, vocabulary=128_256,
)  # fmt: skip
SMOLLM2: Final = Shape(
    weights_bytes=96_576_768, layers=30, width=576, feed_forward=1_536, heads=9, kv_heads=(3,) * 30,
    key_length=64, value_length=64, vocabulary=49_152,
)  # fmt: skip


def room(shape: Shape, free_gib: float, slots: int = 16, context_tokens: int = 4_096) -> Room:
    return fit(
        shape, free_bytes=int(free_gib * GIB), slots=slots, context_tokens=context_tokens,
        batch_tokens=512,
    )  # fmt: skip


def test_a_small_model_has_all_that_it_wants() -> None:
    got = room(SMOLLM2, 8)
    assert got.is_whole
    assert (got.context_tokens, got.cache_tokens) == (4_096, 65_536)
    assert got.sentence == ""


def test_the_sum_is_what_llama_cpp_says_it_takes() -> None:
    assert kv_bytes_per_token(SMOLLM2, "f16") * 65_536 == 1_440 * 2**20
    whole = needs_bytes(SMOLLM2, cache_tokens=65_536, batch_tokens=512, slots=16, kv_type="f16")
    buffers = whole - SMOLLM2.weights_bytes - 1_440 * 2**20
    assert buffers == pytest.approx(80.5 * 2**20, rel=0.1)


def test_eight_billion_weights_start_on_a_box_of_sixteen_gigabytes() -> None:
    got = room(LLAMA_8B, 12)
    assert not got.is_whole
    assert got.context_tokens == 4_096
    assert 30_000 < got.cache_tokens < 65_536
    assert "12.0 GiB are free" in got.sentence
    assert str(got.cache_tokens) in got.sentence


def test_where_not_even_one_task_fits_each_has_less() -> None:
    got = room(LLAMA_8B, 5.6)
    assert CONTEXT_MIN <= got.context_tokens < 4_096
    assert got.cache_tokens == got.context_tokens


def test_a_smaller_type_of_cache_has_room_for_more() -> None:
    few = fit(LLAMA_8B, free_bytes=8 * GIB, slots=16, context_tokens=4_096, batch_tokens=512)
    more = fit(
        LLAMA_8B, free_bytes=8 * GIB, slots=16, context_tokens=4_096, batch_tokens=512,
        kv_type="q8_0",
    )  # fmt: skip
    assert more.cache_tokens > 1.8 * few.cache_tokens


def test_layers_that_keep_nothing_cost_nothing() -> None:
    hybrid = replace(LLAMA_8B, kv_heads=(8,) * 4 + (0,) * 28)
    assert kv_bytes_per_token(hybrid, "f16") * 8 == kv_bytes_per_token(LLAMA_8B, "f16")


def test_the_context_that_an_admin_has_set_is_kept() -> None:
    got = fit(
        LLAMA_8B, free_bytes=GIB, slots=16, context_tokens=8_192, batch_tokens=512,
        context_fixed=True,
    )  # fmt: skip
    assert (got.context_tokens, got.cache_tokens) == (8_192, 8_192)


def test_what_else_the_engine_keeps_is_not_free() -> None:
    alone = fit(LLAMA_8B, free_bytes=8 * GIB, slots=16, context_tokens=4_096, batch_tokens=512)
    beside = fit(
        LLAMA_8B, free_bytes=9 * GIB, slots=16, context_tokens=4_096, batch_tokens=512,
        other_bytes=int(0.9 * GIB),
    )  # fmt: skip
    assert abs(beside.cache_tokens - alone.cache_tokens) <= 256


def test_of_a_file_that_is_silent_nothing_is_concluded() -> None:
    assert room(Shape(), 1).is_whole


@given(st.floats(0.1, 200), st.integers(1, 64), st.integers(CONTEXT_MIN, 131_072))
def test_what_is_chosen_fits(free_gib: float, slots: int, context_tokens: int) -> None:
    got = room(LLAMA_8B, free_gib, slots, context_tokens)
    assert CONTEXT_MIN <= got.context_tokens <= context_tokens
    assert got.context_tokens <= got.cache_tokens <= got.wanted_tokens
    if got.cache_tokens > CONTEXT_MIN:
        assert got.needs_bytes <= got.free_bytes * (1 - SPARE_SHARE) + 1


def test_where_the_smallest_context_does_not_fit_there_are_fewer_slots() -> None:
    """Each costs a row of logits."""
    chatty = replace(LLAMA_8B, vocabulary=262_144)
    per_slot = chatty.vocabulary * 4
    least = needs_bytes(chatty, cache_tokens=CONTEXT_MIN, batch_tokens=512, slots=64, kv_type="f16")
    free = {
        slots: int((least - (64 - slots) * per_slot) / (1 - SPARE_SHARE)) + 1 for slots in (64, 32)
    }
    got = {
        slots: fit(chatty, free_bytes=each, slots=64, context_tokens=4_096, batch_tokens=512)
        for slots, each in free.items()
    }
    assert [(slots, each.slots) for slots, each in got.items()] == [(64, 64), (32, 32)]
    assert {each.cache_tokens for each in got.values()} == {CONTEXT_MIN}
    assert got[32].wanted_tokens == 64 * 4_096
    assert "so 32 tasks at a time" in got[32].sentence


def test_room_for_guesses_is_reckoned() -> None:
    assert GUESSED_ROWS == ROWS_MAX
    one, eight, nine = (
        needs_bytes(LLAMA_8B, cache_tokens=1, batch_tokens=512, slots=slots, kv_type="f16")
        for slots in (1, 8, 9)
    )
    assert (eight - one, nine - eight) == (0, LLAMA_8B.vocabulary * 4)


@pytest.mark.parametrize("kv_type", ["f16", "q8_0", "q4_0"])
def test_a_smaller_type_is_recommended_to_who_has_the_largest(kv_type: str) -> None:
    got = fit(
        LLAMA_8B, free_bytes=5 * GIB, slots=16, context_tokens=4_096, batch_tokens=512,
        kv_type=kv_type,
    )  # fmt: skip
    assert ("model.kv_type" in got.sentence) == (kv_type == "f16")
    assert "free some memory" in got.sentence


def test_all_layers_and_what_is_no_layers_are_the_whole() -> None:
    cache_tokens = 16_384
    layers = layer_bytes(LLAMA_8B, cache_tokens, "f16") * LLAMA_8B.layers
    buffers = buffer_bytes(LLAMA_8B, cache_tokens, 512, 16)
    whole = needs_bytes(
        LLAMA_8B, cache_tokens=cache_tokens, batch_tokens=512, slots=16, kv_type="f16"
    )
    assert layers + buffers == pytest.approx(whole - LLAMA_8B.weights_bytes / 33, rel=1e-6)
    assert layer_bytes(Shape(), 1, "f16") == 0


def test_each_slot_has_its_own_state_of_recurrent_layers() -> None:
    mamba = replace(LLAMA_8B, kv_heads=(0,) * 32, state_bytes=20 * 2**20)
    one, many = (
        needs_bytes(mamba, cache_tokens=1, batch_tokens=512, slots=slots, kv_type="f16")
        for slots in (1, 8)
    )
    assert many - one == 7 * mamba.state_bytes
    assert room(mamba, 5.3, slots=16, context_tokens=512).slots < 16
