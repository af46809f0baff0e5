"""A process that renders templates, and templates that do their worst to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

import edge.engine.renderer
from edge.engine.renderer import NS_PER_MINUTE, Renderer
from edge.errors import EngineError, InvalidRequest

Open = Callable[[str], Renderer]
FOREVER = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.fixture
def time_ns() -> list[int]:
    """The time of day, which stands still."""
    return [0]


@pytest.fixture
def open_renderer(time_ns: list[int]) -> Iterator[Open]:
    renderers: list[Renderer] = []

    def make(template: str) -> Renderer:
        renderers.append(Renderer(template, {"bos_token": "<s>"}, wall_ns=lambda: time_ns[0]))
        return renderers[-1]

    yield make
    for renderer in renderers:
        renderer.close()


def said(*roles: str) -> list[dict[str, str]]:
    return [{"role": role, "content": "hi"} for role in roles]


def pid_of(renderer: Renderer) -> int:
    assert renderer.process is not None
    return renderer.process.pid


def test_it_renders_like_the_template(open_renderer: Open) -> None:
    renderer = open_renderer("{{ bos_token }}{{ messages[-1].role }}é🦊{{ messages[0].content }}")
    assert renderer.render(said("system", "user")) == "<s>useré🦊hi"
    assert renderer.render(said("user")) == "<s>useré🦊hi"


def test_a_refusal_is_told_each_time(open_renderer: Open) -> None:
    renderer = open_renderer("{% if messages|length > 1 %}{{ raise_exception('one') }}{% endif %}a")
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="one") as caught:
            renderer.render(said("user", "user"))
        assert caught.value.field == "messages"
    assert renderer.render(said("user")) == "a"


def test_a_template_that_is_none_is_told(open_renderer: Open) -> None:
    with pytest.raises(InvalidRequest, match="is broken"):
        open_renderer("{% if %}").render(said("user"))


def test_a_template_without_an_end_is_ended_and_others_go_on(open_renderer: Open) -> None:
    renderer = open_renderer("{% if messages|length > 1 %}" + FOREVER + "{% endif %}a")
    with pytest.raises(InvalidRequest, match="has not come to an end"):
        renderer.render(said("user", "user"))
    assert renderer.render(said("user")) == "a"
    # It is not tried again with every request.
    pid = pid_of(renderer)
    with pytest.raises(InvalidRequest, match="has not come to an end"):
        renderer.render(said("user", "user"))
    assert pid_of(renderer) == pid


@pytest.mark.parametrize(
    "template",
    [
        "{% set ns = namespace(x='x') %}{% for n in range(60) %}{% set ns.x = ns.x ~ ns.x %}"
        "{% endfor %}",
        "{{ 'x' * 10**11 }}",
        "{{ 'x'|center(10**11) }}",
        "{{ '%100000000000d'|format(1) }}",
        "{{ [0] * 10**11 }}",
        "{{ '\\ud800' }}",
    ],
)
def test_a_template_that_eats_memory_gets_none(open_renderer: Open, template: str) -> None:
    renderer = open_renderer("{% if messages|length > 1 %}" + template + "{% endif %}a")
    with pytest.raises(InvalidRequest):
        renderer.render(said("user", "user"))
    assert renderer.render(said("user")) == "a"


def test_a_process_that_was_killed_is_started_again(open_renderer: Open) -> None:
    renderer = open_renderer("{{ messages|length }}")
    assert renderer.render(said("user")) == "1"
    os.kill(pid_of(renderer), signal.SIGKILL)
    with pytest.raises(EngineError) as caught:
        renderer.render(said("user", "user"))
    assert caught.value.recoverable
    assert renderer.render(said("user", "user")) == "2"


def test_what_did_not_end_is_tried_again_after_a_minute(
    open_renderer: Open, time_ns: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge.engine.renderer, "KNOWN_MAX", 2)
    renderer = open_renderer("{% if messages|length > 1 %}" + FOREVER + "{% endif %}a")
    with pytest.raises(InvalidRequest, match="has not come to an end"):
        renderer.render(said("user", "user"))
    assert len(renderer.known) == 1
    time_ns[0] = NS_PER_MINUTE
    assert renderer.render(said("user")) == "a"
    assert not renderer.known


@pytest.mark.parametrize("template", ["{% if %}", "{{ raise_exception('no') }}", "{{ 1 | what }}"])
def test_a_template_of_no_use_is_found_out_at_once(open_renderer: Open, template: str) -> None:
    renderer = open_renderer(template)
    assert "the model's chat template" in renderer.examine()
    renderer.close()
    with pytest.raises(InvalidRequest, match="the model's chat template"):
        renderer.render(said("user"))
    assert renderer.process is None


@pytest.mark.parametrize("role", ["user", "system"])
def test_a_template_that_wants_other_messages_is_of_use(open_renderer: Open, role: str) -> None:
    source = "{% if messages[0].role != '" + role + "' %}{{ raise_exception('no') }}{% endif %}"
    assert open_renderer(source).examine() == ""
