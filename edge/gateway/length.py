"""Whether a prompt fits the model, found out before it is accepted."""

from __future__ import annotations

from typing import Final

from edge.actors import ActorDown, CallTimeout, Ref
from edge.conversation import Message
from edge.engine.messages import Counted
from edge.errors import EngineDead, EngineError, InvalidRequest, PromptTooLong
from edge.gateway.facts import NodeFacts
from edge.inference import CONTEXT_TOKENS_DEFAULT, CountTokens
from edge.services.task.messages import offered
from edge.tasks.task import Request

COUNT_MS: Final = 10_000
"""A megabyte takes a second; on a busy machine, behind others of its size, several."""
TEMPLATE_TOKENS: Final = 64
"""What a chat template may add to a prompt, generously."""
MESSAGE_TOKENS: Final = 16
"""What it may add to each message."""
TOOLS_TOKENS: Final = 1_024
"""What it, or a message of ours, may add to say how tools are called."""
_UNMEASURED: Final = "a prompt of this length has to be measured first, which was not possible"


class LengthCheck:
    """What is accepted fits the model, as far as it is known.

    A token is a byte at least, so what has few bytes fits; and it has so many bytes at most, so
    what has many more does not. In between only the engine knows: what it cannot say is not
    accepted, for a prompt that ended it would only come back as a task. Where the model is not in
    memory, there is no engine that could be asked before there is a task.
    """

    def __init__(self, facts: NodeFacts) -> None:
        self._facts = facts

    async def check(self, request: Request) -> None:
        """Raises `PromptTooLong` when the prompt does not fit, `EngineError` or `Overloaded` when
        it may not and cannot be measured now."""
        facts = self._facts.of(request.model)
        # Before the engine has been up for the first time nothing is known for sure.
        context_tokens = facts.context_tokens or CONTEXT_TOKENS_DEFAULT
        texts = [] if request.prompt is None else [request.prompt]
        texts += request.asked_texts()
        size_bytes = sum(len(text.encode()) for text in texts)
        field = "prompt" if request.prompt else "messages"
        added = TEMPLATE_TOKENS + len(texts) * MESSAGE_TOKENS + _added_for_tools(request)
        if size_bytes + added < context_tokens:
            return
        longest_bytes = facts.longest_token_bytes
        if size_bytes > longest_bytes * context_tokens > 0:
            raise PromptTooLong(
                f"the prompt has {size_bytes} bytes, and the model's context only {context_tokens}"
                f" tokens of at most {longest_bytes} bytes; make it shorter",
                field=field,
            )
        if facts.engine is None and self._facts.several:
            # It is loaded for this task, if for no other, and says itself what is too long.
            return
        counted = await self._count(request, field, facts.engine)
        if counted.tokens >= counted.context_tokens:
            raise PromptTooLong(
                f"the prompt has {counted.tokens} tokens and the model's context only"
                f" {counted.context_tokens}; make it shorter",
                field=field,
            )

    async def _count(self, request: Request, field: str, engine: Ref | None) -> Counted:
        messages = request.messages or (Message("user", request.prompt),)
        try:
            if engine is None:
                raise EngineDead("it is not there")
            wanted = CountTokens(None, messages, *offered(request))
            counted = await engine.call(wanted, deadline_ms=COUNT_MS)
        except (PromptTooLong, InvalidRequest) as error:
            raise type(error)(str(error), field=field) from error
        except (EngineDead, ActorDown) as error:
            raise EngineError(
                f"{_UNMEASURED}: the engine is being restarted; try again shortly"
            ) from error
        except CallTimeout as error:
            raise EngineError(
                f"{_UNMEASURED} within {COUNT_MS // 1_000} s; try again later",
                retry_after_ms=COUNT_MS,
            ) from error
        assert isinstance(counted, Counted)
        return counted


def _added_for_tools(request: Request) -> int:
    """What tools may take besides their texts: they are written as JSON once more, with blanks, and
    each call and each answer of one has marks around it."""
    added = 0 if request.tools is None else TOOLS_TOKENS + len(request.tools.encode())
    for message in request.messages or ():
        marked = len(message.tool_calls) + (message.role == "tool")
        added += marked * 4 * MESSAGE_TOKENS
    return added
