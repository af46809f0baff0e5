"""The special tokens that a model of embeddings has round its texts.

They are the vocabulary's own: such a model was trained with them, and a vector without them is
another one. What looks like one within a text is that text, and no special token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from edge.engine.prompt import Control

_PLACES: Final = re.compile(r"(\{query\}|\{document\})")
"""Where a template for ranking wants them (llama.cpp, ``tokenizer.chat_template.rerank``)."""


class Tokenizer(Protocol):
    """Of a vocabulary, what is needed here."""

    @property
    def controls(self) -> Mapping[str, Control]: ...

    def parts(self, text: str) -> Iterator[list[int]]: ...

    def special(self, name: str) -> tuple[int, str]: ...

    def adds(self, name: str) -> bool: ...

    def around(self) -> tuple[list[int], list[int]]: ...


class Frame:
    """Texts to tokens. ``template`` is the model's own for ranking, if it has one."""

    def __init__(self, tokenizer: Tokenizer, template: str | None = None) -> None:
        self._tokenizer = tokenizer
        self._template = template
        first, last = tokenizer.around()
        self._first, self._last = tuple(first), tuple(last)
        eos, sep = tokenizer.special("eos")[0], tokenizer.special("sep")[0]
        # As the models were trained: "<s>query</s></s>document</s>" and
        # "[CLS]query[SEP]document[SEP]".
        self._between = tuple(
            token
            for token, wanted in ((eos, tokenizer.adds("eos")), (sep, tokenizer.adds("sep")))
            if wanted and token >= 0
        )
        texts = sorted(tokenizer.controls, key=len, reverse=True)
        self._control = re.compile("(" + "|".join(map(re.escape, texts)) + ")" if texts else "(?!)")

    def text(self, text: str, tokens_max: int | None = None) -> tuple[int, ...]:
        """The tokens of a text, cut at its end to be no more than ``tokens_max``."""
        inner = self._plain(text)
        if tokens_max is not None:
            inner = inner[: max(0, tokens_max - len(self._first) - len(self._last))]
        return (*self._first, *inner, *self._last)

    def pair(self, query: str, document: str, tokens_max: int | None = None) -> tuple[int, ...]:
        """Those of a query and a document; it is the document that is cut."""
        if self._template is not None:
            return self._filled(self._template, query, document)[:tokens_max]
        before = (*self._first, *self._plain(query), *self._between)
        behind = self._last or self._between[-1:]
        inner = self._plain(document)
        if tokens_max is not None:
            inner = inner[: max(0, tokens_max - len(before) - len(behind))]
        return (*before, *inner, *behind)

    def _plain(self, text: str) -> list[int]:
        return [token for part in self._tokenizer.parts(text) for token in part]

    def _filled(self, template: str, query: str, document: str) -> tuple[int, ...]:
        """The template with both in their places. A text's first word may be one token with the
        space that the template has before it, so they are tokenised together; its control tokens
        are looked for in the template alone."""
        values = {"{query}": query, "{document}": document}
        tokens: list[int] = []
        text = ""
        for piece in _PLACES.split(template):
            if piece in values:
                text += values[piece]
                continue
            for number, part in enumerate(self._control.split(piece)):
                if number % 2 == 0:
                    text += part
                    continue
                tokens += self._plain(text)
                tokens.append(self._tokenizer.controls[part].token)
                text = ""
        return (*tokens, *self._plain(text))
