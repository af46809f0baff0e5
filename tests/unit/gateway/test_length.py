"""What is refused for its length, what is asked, and what becomes of it when nobody can say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from edge.actors import Actor, Reply, System
from edge.clock import SystemClock
from edge.conversation import Message, ToolCall
from edge.engine.messages import Counted
from edge.errors import (
    ClientError,
    ElwiftError,
    EngineDead,
    EngineError,
    InvalidRequest,
    Overloaded,
    PromptTooLong,
)
from edge.gateway import length
from edge.gateway.facts import NodeFacts
from edge.gateway.length import MESSAGE_TOKENS, TEMPLATE_TOKENS, LengthCheck
from edge.inference import CONTEXT_TOKENS_DEFAULT, CountTokens
from edge.storage import Store
from edge.tasks.task import Options, Request

CONTEXT_TOKENS = 1_000
LONGEST_BYTES = 8
SHORT = CONTEXT_TOKENS - TEMPLATE_TOKENS - MESSAGE_TOKENS


class Counter(Actor):
    """An engine that counts as the test says, or not at all."""

    def __init__(self, answer: int | Exception | None) -> None:
        self.answer = answer
        self.asked: list[CountTokens] = []

    def handle_call(self, request: object, reply: Reply) -> None:
        assert isinstance(request, CountTokens)
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            reply.fail(self.answer)
        elif self.answer is not None:
            reply(Counted(-1, self.answer, CONTEXT_TOKENS))


class Door:
    """A length check, and the engine behind it, if there is one."""

    def __init__(self, *engine: int | Exception | None, context_tokens: int) -> None:
        loop = asyncio.get_running_loop()
        system = System(SystemClock(loop), loop.call_soon)
        # Of the store it is only kept that there is one.
        self.facts = NodeFacts(system, cast(Store, None), "nano", context_tokens)
        self.facts.longest_token_bytes = LONGEST_BYTES
        self.engine = Counter(*engine) if engine else None
        if self.engine is not None:
            system.spawn(self.engine, name="engine")

    async def check(self, prompt: str | None, *contents: str) -> None:
        messages = tuple(Message("user", content) for content in contents) or None
        request = Request("id", "ada", prompt, messages, None, Options())
        await LengthCheck(self.facts).check(request)


Open = Callable[..., Door]


@pytest.fixture
async def door() -> Open:
    """On the test's own loop."""
    return lambda *engine, context_tokens=CONTEXT_TOKENS: Door(
        *engine, context_tokens=context_tokens
    )


@pytest.mark.parametrize("texts", [("a" * (SHORT - 1),), (None, "a" * (SHORT - 1)), (None, *"ab")])
async def test_what_surely_fits_is_not_measured(door: Open, texts: tuple[Any, ...]) -> None:
    await door().check(*texts)


async def test_what_is_said_of_tools_is_measured_sooner(door: Open) -> None:
    counting = door(CONTEXT_TOKENS - 1)
    calling = Message("assistant", None, (ToolCall("f", "{}"),) * 16)
    for request in (
        Request("id", "ada", "hi", None, None, Options(), tools="[]"),
        Request("id", "ada", None, (calling,), None, Options()),
    ):
        await LengthCheck(counting.facts).check(request)
    assert counting.engine is not None
    assert len(counting.engine.asked) == 2


async def test_what_may_not_fit_is_measured(door: Open) -> None:
    counting = door(CONTEXT_TOKENS - 1)
    await counting.check("a" * SHORT)
    await counting.check(None, "é" * (SHORT // 2))
    await counting.check(None, *["a"] * 60)
    assert counting.engine is not None
    assert len(counting.engine.asked) == 3
    # As it will be run: through the template.
    assert counting.engine.asked[0] == CountTokens(None, (Message("user", "a" * SHORT),))


@pytest.mark.parametrize(
    ("texts", "field"), [(("a" * 2_000,), "prompt"), ((None, "a" * 2_000), "messages")]
)
async def test_what_was_measured_and_does_not_fit_is_refused(
    door: Open, texts: tuple[Any, ...], field: str
) -> None:
    with pytest.raises(PromptTooLong, match="1000 tokens and") as caught:
        await door(CONTEXT_TOKENS).check(*texts)
    assert caught.value.field == field


async def test_what_cannot_fit_is_refused_without_an_engine(door: Open) -> None:
    most = LONGEST_BYTES * CONTEXT_TOKENS
    with pytest.raises(PromptTooLong, match=f"{most + 2} bytes") as caught:
        await door().check(None, "é" * (most // 2), "ab")
    assert caught.value.field == "messages"
    await door(999).check("a" * most)


@pytest.mark.parametrize(
    "error", [PromptTooLong("no", field="messages"), InvalidRequest("no", field="messages")]
)
async def test_what_the_engine_refuses_is_refused_by_the_clients_field(
    door: Open, error: ClientError
) -> None:
    with pytest.raises(type(error)) as caught:
        await door(error).check("a" * 2_000)
    assert caught.value.field == "prompt"


@pytest.mark.parametrize(
    ("error", "retry_after_ms"),
    [
        (EngineDead("it was ended by SIGSEGV"), 1_000),
        (EngineError("not this one", recoverable=False, retry_after_ms=9_000), 9_000),
        (Overloaded("too many", retry_after_ms=2_000), 2_000),
    ],
)
async def test_what_could_not_be_measured_is_not_accepted(
    door: Open, error: ElwiftError, retry_after_ms: int
) -> None:
    with pytest.raises((EngineError, Overloaded)) as caught:
        await door(error).check("a" * 2_000)
    assert isinstance(caught.value, EngineError | Overloaded)
    assert caught.value.retry_after_ms == retry_after_ms
    # What the engine died of is nobody's business here.
    assert "SIGSEGV" not in str(caught.value)


async def test_without_an_engine_what_may_not_fit_is_not_accepted(door: Open) -> None:
    with pytest.raises(EngineError, match="being restarted"):
        await door().check("a" * 2_000)


async def test_an_engine_that_does_not_answer_is_not_waited_for(
    door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(length, "COUNT_MS", 10)
    with pytest.raises(EngineError, match="has to be measured first"):
        await door(None).check("a" * 2_000)


async def test_before_anything_is_known_the_default_holds(door: Open) -> None:
    """An engine that was never up, of a model whose file does not say."""
    unknown = door(context_tokens=0)
    await unknown.check("a" * (CONTEXT_TOKENS_DEFAULT - TEMPLATE_TOKENS - MESSAGE_TOKENS - 1))
    with pytest.raises(EngineError):
        await unknown.check("a" * CONTEXT_TOKENS_DEFAULT)
