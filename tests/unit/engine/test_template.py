"""Templates as they may come from anywhere."""

from __future__ import annotations

import time

import pytest

from edge.engine.template import SENTENCE_CHARS_MAX, TEXT_CHARS_MAX, Template
from edge.errors import InvalidRequest


def test_contents_are_marks_and_roles_are_as_they_are() -> None:
    template = Template(
        "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"
        "{% if add_generation_prompt %}{{ eos_token }}{% endif %}",
        "<s>",
        "</s>",
    )
    assert template.render(["system", "user"]) == (
        "<s>system:\ue0000\ue001;user:\ue0001\ue001;</s>"
    )


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
    assert Template("{{ strftime_now('%Y') }}").render(["user"]) in years


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
        template.render(["user"])
    assert caught.value.field == "messages"


def test_a_template_may_write_so_much_and_no_more() -> None:
    most = f"{{{{ 'x' * {TEXT_CHARS_MAX} }}}}"
    assert len(Template(most).render(["user"])) == TEXT_CHARS_MAX
    with pytest.raises(InvalidRequest, match=f"more than {TEXT_CHARS_MAX} characters"):
        Template(f"{most}y").render(["user"])


def test_what_a_template_says_of_it_is_cut() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Template("{{ raise_exception('x' * 100000) }}").render(["user"])
    assert len(str(caught.value)) < SENTENCE_CHARS_MAX + 100
