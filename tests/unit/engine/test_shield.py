"""Texts in which nothing is a control token, and which come back as they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine.shield import Shield
from edge.errors import InvalidRequest

CONTROLS = ("<|im_end|>", "</s>", "[INST]", "eos")
ANY = st.text() | st.lists(st.sampled_from([*CONTROLS, "\ue000", "<think>", "["])).map("".join)


@given(st.lists(ANY, max_size=4))
def test_texts_come_back_and_hide_what_they_have_of_control_tokens(texts: list[str]) -> None:
    shielded = Shield(CONTROLS, "\ue001<think>").hide(texts)
    assert [shielded.restore(text) for text in shielded.texts] == texts
    assert [len(text) for text in shielded.texts] == [len(text) for text in texts]
    assert not any(control in text for text in shielded.texts for control in CONTROLS)


def test_tags_of_the_template_are_left_unless_they_are_control_tokens() -> None:
    shield = Shield(CONTROLS, "{{ m.split('</think>') }} '<|im_end|>' '</s>'")
    text, control = shield.hide(["a</think>b<think>", "</s>"]).texts
    assert "</think>" in text
    assert "<think>" not in text
    assert not set("<>") & set(control)


def test_a_text_that_leaves_no_character_free_is_refused() -> None:
    planes = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))
    with pytest.raises(InvalidRequest, match="private use"):
        Shield(CONTROLS, "").hide(["".join(chr(code) for codes in planes for code in codes)])
