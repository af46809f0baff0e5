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

from edge.engine.shield import Shield, Shielded
from edge.errors import InvalidRequest, PromptTooLong

CHATML: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For a model that brings no template: the one that most have."""

_ROLE: Final = re.compile("[A-Za-z_]{1,64}")

Messages = Sequence[tuple[str, str]]


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
        self, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any] | None = None, /
    ) -> str: ...


Piece = str | int
"""Text of the prompt without control tokens, or one of these."""


class Prompts:
    """Turns requests into tokens, for one model with a context of `context_tokens`. `render` gives
    the text of messages by the template whose source is `template`. Where that is not `usable`, a
    user's only message is run as it is, which a template would say to a model for chats; longer
    conversations are for `render` to refuse."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        context_tokens: int,
        render: Render,
        template: str,
        *,
        usable: bool = True,
    ) -> None:
        self._tokenizer = tokenizer
        self._bos, _ = tokenizer.special("bos")
        self._context_tokens = context_tokens
        self._render = render
        self._usable = usable
        self._controls = tokenizer.controls
        self._shield = Shield(self._controls, template)
        # The longest first: some vocabularies have one that begins another.
        texts = sorted(self._controls, key=len, reverse=True)
        self._control = re.compile("(" + "|".join(map(re.escape, texts)) + ")" if texts else "(?!)")

    def tokens(
        self,
        prompt: str | None,
        messages: Messages | None,
        begun: str = "",
        variables: Mapping[str, Any] | None = None,
    ) -> Generator[None, None, tuple[int, ...]]:
        """Returns the tokens of a bare prompt, or of messages through the template, ready for an
        answer, of which there may be a beginning already. They may be more than the context has.
        `variables` are what else the template sees: they are the node's, and not a user's text.

        Yields after each part of a long text, for others to have their turn. Raises `PromptTooLong`
        for what is too long even for the longest tokens, which is seen without tokenising it, and
        `InvalidRequest` when the template refuses these messages.
        """
        if messages is not None and not self._usable and [role for role, _ in messages] == ["user"]:
            prompt, messages = messages[0][1], None
        if messages is None:
            text = (prompt or "") + begun
            self._check_size([text], "prompt")
            pieces: list[Piece] = [text]
        else:
            # Before the template has them, too: it may need several times their memory.
            self._check_size([content for _, content in messages], "messages")
            pieces = self._through(messages, begun, variables)
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
        self, messages: Messages, begun: str, variables: Mapping[str, Any] | None
    ) -> list[Piece]:
        """The messages as the template has them."""
        for role, _ in messages:
            if not _ROLE.fullmatch(role):
                # A role is rendered as it is, where control tokens have their meaning.
                raise InvalidRequest(f"{role!r} is not a role", field="messages")
        shielded = self._shield.hide([*(content for _, content in messages), begun])
        rendered = self._render(
            [
                {"role": role, "content": content}
                for (role, _), content in zip(messages, shielded.texts, strict=False)
            ],
            variables,
        )
        # With the beginning of the answer, whose first word may be one token with what is before.
        return self._pieces(self._control.split(rendered + shielded.texts[-1]), shielded)

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
