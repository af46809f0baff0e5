"""From messages to tokens: the model's chat template, and nothing that a user writes taken for it.

A template is a Jinja program out of a file from anywhere, so it runs in Jinja's sandbox. Contents
take part in it as marks, and are tokenised apart from it, as plain text: a user who writes
``<|im_end|>`` has written ten characters, not ended a turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from edge.clock import NS_PER_S, SystemClock
from edge.errors import InvalidRequest

CHATML: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_CLOCK: Final = SystemClock()
_ROLE: Final = re.compile("[A-Za-z_]{1,64}")
_MARK: Final = re.compile("\ue000([0-9]+)\ue001")


class Tokenizer(Protocol):
    """What of `Llama` is needed here."""

    @property
    def adds_bos(self) -> bool: ...

    @property
    def chat_template(self) -> str | None: ...

    def special(self, name: str) -> tuple[int, str]: ...

    def tokenize(self, text: str, *, special: bool) -> list[int]: ...


class Prompts:
    """Turns requests into tokens, for one model."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._bos, self._bos_text = tokenizer.special("bos")
        _, self._eos_text = tokenizer.special("eos")
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        self._template: jinja2.Template | jinja2.TemplateError
        try:
            self._template = environment.from_string(tokenizer.chat_template or CHATML)
        except jinja2.TemplateError as error:
            # Bare prompts can still be run; messages are refused with the reason.
            self._template = error

    def tokens(
        self, prompt: str | None, messages: Sequence[tuple[str, str]] | None, begun: str = ""
    ) -> tuple[int, ...]:
        """The tokens of a bare prompt, or of messages through the template, ready for an answer,
        of which there may be a beginning already. InvalidRequest when the template refuses these
        messages."""
        if messages is None:
            tokens = self._tokenizer.tokenize(prompt or "", special=False)
        else:
            tokens = self._through_template(messages)
        if self._tokenizer.adds_bos and self._bos >= 0 and tokens[:1] != [self._bos]:
            tokens.insert(0, self._bos)
        if begun:
            tokens += self._tokenizer.tokenize(begun, special=False)
        return tuple(tokens)

    def _through_template(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        for role, _ in messages:
            if not _ROLE.fullmatch(role):
                # A role is rendered as it is, where control tokens have their meaning.
                raise InvalidRequest(f"{role!r} is not a role", field="messages")
        if isinstance(self._template, jinja2.TemplateError):
            raise InvalidRequest(
                f"the model's chat template is broken ({self._template}); send a prompt instead",
                field="messages",
            )
        marked = [
            {"role": role, "content": f"\ue000{number}\ue001"}
            for number, (role, _) in enumerate(messages)
        ]
        try:
            rendered = self._template.render(
                messages=marked,
                add_generation_prompt=True,
                bos_token=self._bos_text,
                eos_token=self._eos_text,
            )
        except Exception as error:  # a foreign program may raise anything
            raise InvalidRequest(
                f"the model's chat template refuses these messages: {error}", field="messages"
            ) from error
        tokens: list[int] = []
        # Odd parts are the numbers of contents, even ones the template's own text.
        for place, part in enumerate(_MARK.split(rendered)):
            if place % 2:
                tokens += self._tokenizer.tokenize(messages[int(part)][1], special=False)
            elif part:
                tokens += self._tokenizer.tokenize(part, special=True)
        return tokens


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    # The clock's bounds: beyond the year 9999 the machine's own time is none for Python.
    return datetime.fromtimestamp(_CLOCK.wall_ns() // NS_PER_S).astimezone().strftime(pattern)
