"""From messages to tokens: the model's chat template, and nothing that a user writes taken for it.

The template is rendered over the real texts, in which control tokens are kept from being such
(`shield`): a user who writes ``<|im_end|>`` has written ten characters, not ended a turn. Between
two control tokens the text is tokenised as a whole, so that it has the tokens with which the model
was trained, whoever wrote which part of it.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import orjson

from edge.answers import by_prompt
from edge.answers.dialects import MISTRAL, MISTRAL_NAMED, Model, recognised
from edge.answers.ids import shortened
from edge.conversation import Message
from edge.engine.shield import Shield, Shielded
from edge.errors import InvalidRequest, PromptTooLong
from edge.json_values import LEVELS_MAX, has_inexact_number, too_deep

CHATML: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For a model that brings no template: the one that most have."""

DEVELOPER: Final = "developer"
TOOLS: Final = "tools"
_ROLE: Final = re.compile("[A-Za-z_]{1,64}")

Messages = Sequence[Message]


class Control(NamedTuple):
    """A control token; whether white space before it and behind it belongs to it."""

    token: int
    takes_space_before: bool = False
    takes_space_after: bool = False


class Tokenizer(Protocol):
    """What of `Vocabulary` is needed here."""

    @property
    def longest_bytes(self) -> int: ...

    @property
    def adds_bos(self) -> bool: ...

    @property
    def controls(self) -> Mapping[str, Control]: ...

    def special(self, name: str) -> tuple[int, str]: ...

    def parts(self, text: str) -> Iterator[list[int]]: ...


class Render(Protocol):
    """See `edge.engine.template.Template.render`."""

    def __call__(
        self,
        messages: Sequence[Mapping[str, Any]],
        variables: Mapping[str, Any] | None = None,
        stand_ins: Mapping[str, str] | None = None,
        /,
    ) -> str: ...


Piece = str | int
"""Text of the prompt without control tokens, or one of these."""


class Prompts:
    """Turns requests into tokens, for one model with a context of `context_tokens`. `render` gives
    the text of messages by the template whose source is `template`. Where that is not `usable`, a
    user's only message is run as it is, which a template would say to a model for chats; longer
    conversations are for `render` to refuse. `speaks` is what is known of the template."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        context_tokens: int,
        render: Render,
        template: str,
        *,
        usable: bool = True,
        speaks: Model | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._bos, _ = tokenizer.special("bos")
        self._context_tokens = context_tokens
        self._render = render
        self._usable = usable
        self._controls = tokenizer.controls
        self._shield = Shield(self._controls, template)
        self._knows_developer = DEVELOPER in template
        self._speaks = recognised(template, tokenizer.controls) if speaks is None else speaks
        # The longest first: some vocabularies have one that begins another.
        texts = sorted(self._controls, key=len, reverse=True)
        self._control = re.compile("(" + "|".join(map(re.escape, texts)) + ")" if texts else "(?!)")

    def tokens(
        self,
        prompt: str | None,
        messages: Messages | None,
        begun: str = "",
        tools: str | None = None,
        variables: str | None = None,
    ) -> Generator[None, None, tuple[int, ...]]:
        """Returns the tokens of a bare prompt, or of messages through the template, ready for an
        answer, of which there may be a beginning already. They may be more than the context has.
        `tools` and `variables` are what else the template sees, as JSON text; where it tells the
        model of no tools, a message of ours does.

        Yields after each part of a long text, for others to have their turn. Raises `PromptTooLong`
        for what is too long even for the longest tokens, which is seen without tokenising it, and
        `InvalidRequest` when the template refuses these messages.
        """
        if (
            messages is not None
            and not self._usable
            and [each.role for each in messages] == ["user"]
        ):
            prompt, messages = messages[0].content, None
        if messages is None:
            text = (prompt or "") + begun
            self._check_size([text], "prompt")
            pieces: list[Piece] = [text]
        else:
            # Before the template has them, too: it may need several times their memory.
            given = [text for message in messages for text in message.texts()]
            self._check_size([*given, tools or "", variables or ""], "messages")
            pieces = self._through(messages, begun, tools, variables)
            self._check_size([each for each in pieces if isinstance(each, str)], "messages")
        tokens: list[int] = []
        for piece in pieces:
            if isinstance(piece, int):
                tokens.append(piece)
                continue
            for part in self._tokenizer.parts(piece):
                tokens += part
                yield
        if self._tokenizer.adds_bos and self._bos >= 0 and tokens[:1] != [self._bos]:
            tokens.insert(0, self._bos)
        return tuple(tokens)

    def _check_size(self, texts: Sequence[str], field: str) -> None:
        longest_bytes, context_tokens = self._tokenizer.longest_bytes, self._context_tokens
        size_bytes = sum(len(text.encode()) for text in texts)
        if size_bytes > longest_bytes * context_tokens and longest_bytes:
            raise PromptTooLong(
                f"the prompt has more bytes than fit the model's context of {context_tokens}"
                f" tokens, of which the longest has {longest_bytes}; shorten it",
                field=field,
            )

    def _through(
        self, messages: Messages, begun: str, tools: str | None, variables: str | None
    ) -> list[Piece]:
        """The messages as the template has them."""
        for message in messages:
            if not _ROLE.fullmatch(message.role):
                # A role is rendered as it is, where control tokens have their meaning.
                raise InvalidRequest(f"{message.role!r} is not a role", field="messages")
        further = orjson.loads(variables) if variables else {}
        if not self._speaks.native:
            said = by_prompt.told(messages, tools)
            try:
                return self._rendered(said, begun, further)
            except InvalidRequest:
                if tools is None:
                    raise
                # It may have no place for what the system says.
                return self._rendered(by_prompt.without_system(said), begun, further)
        if self._speaks.dialect in (MISTRAL, MISTRAL_NAMED):
            messages = shortened(messages)
        if tools:
            further[TOOLS] = orjson.loads(tools)
        return self._rendered(messages, begun, further)

    def _rendered(self, messages: Messages, begun: str, further: dict[str, Any]) -> list[Piece]:
        shielded = self._shield.hide([*map(_without_role, messages), further, begun])
        *said, further, begun = shielded.values
        rendered = self._render(
            [
                {"role": self._role(message.role), **rest}
                for message, rest in zip(messages, said, strict=True)
            ],
            further,
            shielded.stand_ins,
        )
        # With the beginning of the answer, whose first word may be one token with what is before.
        return self._pieces(self._control.split(rendered + begun), shielded)

    def _role(self, role: str) -> str:
        """Most templates know no developer: it is whom they call the system."""
        return "system" if role == DEVELOPER and not self._knows_developer else role

    def _pieces(self, texts: list[str], shielded: Shielded) -> list[Piece]:
        """Odd ones are control tokens, even ones the text between them."""
        pieces: list[Piece] = []
        for place in range(0, len(texts), 2):
            text = texts[place]
            if place and self._controls[texts[place - 1]].takes_space_after:
                text = text.lstrip()
            if place + 1 < len(texts) and self._controls[texts[place + 1]].takes_space_before:
                text = text.rstrip()
            if text:
                pieces.append(shielded.restore(text))
            if place + 1 < len(texts):
                pieces.append(self._controls[texts[place + 1]].token)
        return pieces


def _without_role(message: Message) -> dict[str, Any]:
    """As `apply_chat_template` of transformers has it; what the message does not have is not
    there."""
    document = message.document()
    del document["role"]
    for call in document.get("tool_calls", ()):
        call["function"]["arguments"] = _arguments(call["function"]["arguments"])
        if call["id"] is None:
            del call["id"]
    return document


def _arguments(text: str) -> Any:
    """As an object, which is what templates write as JSON. What is none goes as text, and what
    would not come out as it is."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    sound = not too_deep(value, LEVELS_MAX) and not has_inexact_number(text.encode())
    return value if isinstance(value, dict) and sound else text
