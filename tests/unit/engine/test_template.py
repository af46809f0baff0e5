"""Templates as they may come from anywhere."""

from __future__ import annotations

import time

import pytest

from edge.engine.template import SENTENCE_CHARS_MAX, TEXT_CHARS_MAX, Template
from edge.errors import InvalidRequest

USER = [{"role": "user", "content": "hi"}]


def test_it_sees_messages_special_tokens_and_variables() -> None:
    template = Template(
        "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"
        "{% if add_generation_prompt %}{{ eos_token }}{% endif %}"
        "{{ think }}{{ tools is none }}{{ pad_token }}",
        {"bos_token": "<s>", "eos_token": "</s>"},
    )
    assert template.render(USER, {"think": "x"}) == "<s>user:hi;</s>xTrue"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% for n in range(9) %}{% if n == 2 %}{% break %}{% endif %}{{ n }}{% endfor %}", "01"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}", "hi"),
        ("{{ {'é': '<'} | tojson }}", '{"é": "<"}'),
        ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':')) }}", '{"a":2,"b":1}'),
        ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
        ("{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }}", "2"),
    ],
)
def test_what_templates_made_for_transformers_use(source: str, text: str) -> None:
    assert Template(source).render(USER) == text


@pytest.mark.parametrize(
    ("unix_s", "years"),
    [(-(10**10), {"1969", "1970"}), (0, {"1969", "1970"}), (4_102_500_000, {"2099", "2100"}),
     (10**12, {"2231", "2232"})],
)  # fmt: skip
def test_a_template_may_ask_for_the_date_whatever_the_clock_says(
    unix_s: int, years: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: unix_s * 10**9)
    monkeypatch.setattr(time, "time", lambda: float(unix_s))
    assert Template("{{ strftime_now('%Y') }}").render(USER) in years


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('only users') }}",
        "{% if %}",
        "{{ 1 / 0 }}",
        "{{ nothing.of.it }}",
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ range(10**9) }}",
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
        "{% for n in range(99999) %}{{ 'x' * 100 }}{% endfor %}",
        "{% include 'etc/passwd' %}",
    ],
)
def test_a_template_that_refuses_or_misbehaves_is_told(source: str) -> None:
    template = Template(source)
    with pytest.raises(InvalidRequest, match="the model's chat template") as caught:
        template.render(USER)
    assert caught.value.field == "messages"


def test_a_template_may_write_so_much_and_no_more() -> None:
    most = f"{{{{ 'x' * {TEXT_CHARS_MAX} }}}}"
    twice = most + "{{ messages[0].content * 2 }}"
    assert len(Template(twice).render(USER)) == TEXT_CHARS_MAX + 4
    with pytest.raises(InvalidRequest, match=f"more than {TEXT_CHARS_MAX + 4} characters"):
        Template(f"{twice}y").render(USER)


def test_what_a_template_says_of_it_is_cut() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Template("{{ raise_exception('x' * 100000) }}").render(USER)
    assert len(str(caught.value)) < SENTENCE_CHARS_MAX + 100
