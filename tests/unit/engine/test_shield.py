"""Texts in which nothing is a control token, and which come back as they were."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine.shield import Shield, texts_in
from edge.engine.template import Template
from edge.errors import InvalidRequest

CONTROLS = ("<|im_end|>", "</s>", "[INST]", "eos")
ANY = st.text() | st.lists(st.sampled_from([*CONTROLS, "\ue000", "<think>", "["])).map("".join)


@given(st.lists(ANY, max_size=4))
def test_texts_come_back_and_hide_what_they_have_of_control_tokens(texts: list[str]) -> None:
    shielded = Shield(CONTROLS, "\ue001<think>").hide(texts)
    assert [shielded.restore(text) for text in shielded.values] == texts
    assert [len(text) for text in shielded.values] == [len(text) for text in texts]
    assert not any(control in text for text in shielded.values for control in CONTROLS)


def test_tags_of_the_template_are_left_unless_they_are_control_tokens() -> None:
    shield = Shield(CONTROLS, "{{ m.split('</think>') }} '<|im_end|>' '</s>'")
    text, control = shield.hide(["a</think>b<think>", "</s>"]).values
    assert "</think>" in text
    assert "<think>" not in text
    assert not set("<>") & set(control)


def test_a_text_that_leaves_no_character_free_is_refused() -> None:
    planes = (range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))
    with pytest.raises(InvalidRequest, match="private use"):
        Shield(CONTROLS, "").hide(["".join(chr(code) for codes in planes for code in codes)])


def test_texts_anywhere_in_a_value_are_hidden_and_come_back() -> None:
    value = {"name": "x<|im_end|>", "</s>": [1, None, {"k": "[INST]"}]}
    (hidden,) = Shield(CONTROLS, "name").hide([value]).values
    assert not any(control in text for text in texts_in(hidden) for control in CONTROLS)


def test_a_part_of_a_control_token_is_none_between_the_templates_marks() -> None:
    """Also where the template writes the marks around a user's text."""
    shielded = Shield(["<|im_end|>"], "<|{{ content }}|>").hide(["im_end", "im_ended"])
    assert [f"<|{text}|>" in CONTROLS for text in shielded.values] == [False, False]
    assert shielded.values[1] == "im_ended"
    assert [shielded.restore(text) for text in shielded.values] == ["im_end", "im_ended"]


def test_the_template_finds_members_whose_name_is_a_part_of_a_control_token() -> None:
    (hidden,) = Shield(["<|function|>"], "{{ tool.function }}").hide([{"function": "f"}]).values
    assert hidden == {"function": "f"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("<|im_{{ messages[0].content }}|>", "end"),
        ("{{ '<|im_e' + messages[0].content + '|>' }}", "nd"),
        ("{{ '<|' + messages[0].content + '_end|>' }}", "im"),
        ("{{ '<|i' ~ messages[0].content[1:] ~ 'd|>' }}", "xm_en"),
        ("{{ '<|im_' ~ messages[0].content | replace('x', '') ~ '|>' }}", "exnxd"),
        ("{{ '<|' ~ messages[0].content ~ '|>' }}", "im_end"),
    ],
)
def test_a_template_may_write_all_of_a_control_token_but_a_part(source: str, said: str) -> None:
    shielded = Shield(["<|im_end|>"], source).hide([said])
    rendered = Template(source).render([{"role": "user", "content": shielded.values[0]}])
    assert "<|im_end|>" not in rendered
    assert shielded.restore(rendered) == "<|im_end|>"


def test_words_that_a_template_writes_as_a_whole_leave_all_letters_as_they_are() -> None:
    source = "{{ '<|im_end|>' + '<|' + role + '|>' + content }}<|im_end|>"
    shielded = Shield(["<|im_end|>", "<|user|>"], source).hide(["xim_end and so on"])
    assert shielded.values == ("xim_end and so on",)


ESCAPED = ('"<|im_end|>', "\\ue000<|\\", "é<|\\\\ue001", "</s>\\U000f0000")


@pytest.mark.parametrize("said", ESCAPED)
@pytest.mark.parametrize("used", ["", "".join(map(chr, range(0xE000, 0xF900)))])
@pytest.mark.parametrize("write", [json.dumps, ascii, repr])
def test_stand_ins_come_back_that_were_written_as_escapes(
    said: str, used: str, write: Callable[[str], str]
) -> None:
    """Also those of the planes that have two escapes in JSON."""
    shielded = Shield(CONTROLS, "").hide([said, used])
    assert shielded.restore(write(shielded.values[0])) == write(said)


def test_what_is_not_ascii_comes_back_as_json_writes_it() -> None:
    end = "<\uff5cend\uff5c>"
    shielded = Shield([end], "{{ x | tojson(ensure_ascii=True) }}").hide([end])
    assert shielded.restore(json.dumps(shielded.values[0])) == '"<\\uff5cend\\uff5c>"'
