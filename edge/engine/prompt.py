"""From messages to tokens: the model's chat template, and nothing that a user writes taken for it.

Contents take part in the template as marks, and are tokenised apart from it, as plain text: a user
who writes ``<|im_end|>`` has written ten characters, not ended a turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from edge.engine.template import MARK
from edge.errors import InvalidRequest, PromptTooLong

CHATML: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For a model that brings no template: the one that most have."""

OWN_CHARS_MAX: Final = 16_384
"""What a template may write in one go: its control tokens keep it from being cut anywhere, and it
is tokenised whole. The longest that are known, with descriptions of tools, have some 6,000."""

_ROLE: Final = re.compile("[A-Za-z_]{1,64}")

Messages = Sequence[tuple[str, str]]


class Tokenizer(Protocol):
    """What of `Vocabulary` is needed here."""

    @property
    def longest_bytes(self) -> int: ...

    @property
    def adds_bos(self) -> bool: ...

    def special(self, name: str) -> tuple[int, str]: ...

    def tokenize(self, text: str, *, special: bool = False) -> list[int]: ...

    def parts(self, text: str) -> Iterator[list[int]]: ...


class _Span(NamedTuple):
    """Text of the prompt; ``own`` is the template's, where control tokens have their meaning."""

    text: str
    own: bool


class Prompts:
    """Turns requests into tokens, for one model with a context of `context_tokens`. `render` gives
    the template's text for the roles of messages; see `edge.engine.template`."""

    def __init__(
        self, tokenizer: Tokenizer, context_tokens: int, render: Callable[[Sequence[str]], str]
    ) -> None:
        self._tokenizer = tokenizer
        self._bos, _ = tokenizer.special("bos")
        self._context_tokens = context_tokens
        self._render = render

    def tokens(
        self, prompt: str | None, messages: Messages | None, begun: str = ""
    ) -> Generator[None, None, tuple[int, ...]]:
        """Returns the tokens of a bare prompt, or of messages through the template, ready for an
        answer, of which there may be a beginning already. They may be more than the context has.

        Yields after each part of a long text, for others to have their turn. Raises `PromptTooLong`
        for what is too long even for the longest tokens, which is seen without tokenising it, and
        `InvalidRequest` when the template refuses these messages.
        """
        field = "prompt" if messages is None else "messages"
        spans = [_Span(prompt or "", False)] if messages is None else self._through(messages)
        spans.append(_Span(begun, False))
        self._check_size(spans, field)
        tokens: list[int] = []
        for span in spans:
            if span.own:
                tokens += self._tokenizer.tokenize(span.text, special=True)
                yield
            else:
                for part in self._tokenizer.parts(span.text):
                    tokens += part
                    yield
        if self._tokenizer.adds_bos and self._bos >= 0 and tokens[:1] != [self._bos]:
            tokens.insert(0, self._bos)
        return tuple(tokens)

    def _check_size(self, spans: Sequence[_Span], field: str) -> None:
        longest_bytes, context_tokens = self._tokenizer.longest_bytes, self._context_tokens
        left_bytes = longest_bytes * context_tokens
        for span in spans:
            # One by one: a template may ask for the same content a hundred thousand times.
            left_bytes -= len(span.text.encode())
            if left_bytes < 0 < longest_bytes:
                raise PromptTooLong(
                    f"the prompt has more bytes than fit the model's context of {context_tokens}"
                    f" tokens, of which the longest has {longest_bytes}; shorten it",
                    field=field,
                )

    def _through(self, messages: Messages) -> list[_Span]:
        """The messages as the template has them."""
        for role, _ in messages:
            if not _ROLE.fullmatch(role):
                # A role is rendered as it is, where control tokens have their meaning.
                raise InvalidRequest(f"{role!r} is not a role", field="messages")
        rendered = self._render([role for role, _ in messages])
        spans = []
        # Odd ones are the numbers of contents, even ones the template's own text.
        for place, text in enumerate(MARK.split(rendered)):
            if place % 2 == 0:
                spans.append(_Span(text, True))
                if len(text) > OWN_CHARS_MAX:
                    raise InvalidRequest(
                        f"the model's chat template writes {len(text)} characters in one go, more"
                        f" than {OWN_CHARS_MAX}; use another model",
                        field="messages",
                    )
            elif int(text) < len(messages):
                spans.append(_Span(messages[int(text)][1], False))
            else:
                raise InvalidRequest(
                    f"the model's chat template asks for message {text}, and there are only"
                    f" {len(messages)}",
                    field="messages",
                )
        return [span for span in spans if span.text]
