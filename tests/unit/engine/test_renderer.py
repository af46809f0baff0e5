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
        renderers.append(Renderer(template, "<s>", "</s>", lambda: time_ns[0]))
        return renderers[-1]

    yield make
    for renderer in renderers:
        renderer.close()


def pid_of(renderer: Renderer) -> int:
    assert renderer.process is not None
    return renderer.process.pid


def test_it_renders_like_the_template(open_renderer: Open) -> None:
    renderer = open_renderer("{{ bos_token }}{{ messages[-1].role }}é🦊{{ messages[0].content }}")
    assert renderer.render(["system", "user"]) == "<s>useré🦊\ue0000\ue001"
    assert renderer.render(["user"]) == "<s>useré🦊\ue0000\ue001"


def test_a_refusal_is_told_each_time(open_renderer: Open) -> None:
    renderer = open_renderer("{% if messages|length > 1 %}{{ raise_exception('one') }}{% endif %}a")
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="one") as caught:
            renderer.render(["user", "user"])
        assert caught.value.field == "messages"
    assert renderer.render(["user"]) == "a"


def test_a_template_that_is_none_is_told(open_renderer: Open) -> None:
    with pytest.raises(InvalidRequest, match="is broken"):
        open_renderer("{% if %}").render(["user"])


def test_a_template_without_an_end_is_ended_and_others_go_on(open_renderer: Open) -> None:
    renderer = open_renderer("{% if messages|length > 1 %}" + FOREVER + "{% endif %}a")
    with pytest.raises(InvalidRequest, match="has not come to an end"):
        renderer.render(["user", "user"])
    assert renderer.render(["user"]) == "a"
    # It is not tried again with every request.
    pid = pid_of(renderer)
    with pytest.raises(InvalidRequest, match="has not come to an end"):
        renderer.render(["user", "user"])
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
        renderer.render(["user", "user"])
    assert renderer.render(["user"]) == "a"


def test_a_process_that_was_killed_is_started_again(open_renderer: Open) -> None:
    renderer = open_renderer("{{ messages|length }}")
    assert renderer.render(["user"]) == "1"
    os.kill(pid_of(renderer), signal.SIGKILL)
    with pytest.raises(EngineError) as caught:
        renderer.render(["user", "user"])
    assert caught.value.recoverable
    assert renderer.render(["user", "user"]) == "2"


def test_the_same_roles_are_rendered_once_a_minute(open_renderer: Open, time_ns: list[int]) -> None:
    renderer = open_renderer("{{ messages|length }}")
    assert renderer.render(["user"]) == "1"
    os.kill(pid_of(renderer), signal.SIGKILL)
    assert renderer.render(["user"]) == "1"
    time_ns[0] = NS_PER_MINUTE
    with pytest.raises(EngineError):
        renderer.render(["user"])
    assert renderer.render(["user"]) == "1"


def test_no_more_is_kept_than_is_said(open_renderer: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge.engine.renderer, "KNOWN_MAX", 2)
    renderer = open_renderer("{{ messages|length }}")
    for count in (1, 2, 3, 1, 2):
        assert renderer.render(["user"] * count) == str(count)
        assert len(renderer.known) <= 2
