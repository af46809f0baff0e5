"""Templates that look for control tokens in users' texts, where these have stand-ins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine.shield import Shield
from edge.engine.template import Template

CONTROLS = ("</think>", "<|user|>", "[/INST]", "<|im_end|>")
SAID = "why</think>because/no_think user"


def rendered(source: str, content: str = SAID, controls: tuple[str, ...] = CONTROLS) -> str:
    """What the template makes of a user's text that is hidden from it."""
    shielded = Shield(controls, source).hide([content])
    messages = [{"role": "user", "content": shielded.values[0]}]
    text = Template(source, {}, controls).render(messages, None, shielded.stand_ins)
    return shielded.restore(text)


@pytest.mark.parametrize(
    "asked",
    [
        "'</think>' in c",
        "'</think>' not in c",
        "c.split('</think>')",
        "c.split('</think>', 1)[-1]",
        "c.rsplit('</think>')[0].split('h')[-1]",
        "c.partition('</think>')[0]",
        "c.replace('/no_think', '!')",
        "c | replace('</think>', '<b>')",
        "c.replace('w', '</think>')",
        "c.startswith('why</think>')",
        "c.endswith('/no_think user')",
        "c.removesuffix('/no_think user')",
        "c.find('</think>')",
        "c == 'why</think>because/no_think user'",
        "'why</think>because/no_think user' != c",
        "c[3:11] in ['<b>', '</think>']",
        "c[-4:] == 'user'",
        "messages[0].role == 'user'",
        "messages[0].role != 'user'",
        "messages[0].role in ('user', 'system')",
        "'</think>' in '<a></think>'",
        "'a</think>b'.split('</think>')[1]",
        "nothing is defined and '</think>' in nothing",
        "'</think>' in nothing",
    ],
)
def test_what_is_looked_for_is_found_as_in_the_text_itself(asked: str) -> None:
    source = "{% set c = messages[0].content %}{{ " + asked + " }}"
    assert rendered(source) == rendered(source, controls=())


@given(st.lists(st.sampled_from(["</think>", "<", "think", "a", "/", "\ue000"])).map("".join))
def test_a_text_is_cut_where_it_has_the_control_token(text: str) -> None:
    source = "{{ messages[0].content.split('</think>') | join('|') }}"
    assert rendered(source, text) == text.replace("</think>", "|")


def test_what_stays_of_a_users_text_is_no_control_token() -> None:
    source = "{% set c = messages[0].content %}{{ c.partition('</think>') | join }}"
    shielded = Shield(CONTROLS, source).hide([SAID])
    messages = [{"role": "user", "content": shielded.values[0]}]
    text = Template(source, {}, CONTROLS).render(messages, None, shielded.stand_ins)
    assert "</think>" not in text
    assert shielded.restore(text) == SAID


def test_macros_and_many_replacements_work() -> None:
    many = "".join(f".replace('/{number}', '{number}')" for number in range(40))
    source = "{% macro said(c) %}{{ c" + many + " }}{% endmacro %}{{ said(messages[0].content) }}"
    assert rendered(source, "/1</think>/39") == "1</think>39"
