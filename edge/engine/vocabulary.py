"""A model's vocabulary: from text to tokens and back."""

from __future__ import annotations

import ctypes
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import llama_cpp as api

from edge.engine.prompt import Control
from edge.engine.seams import Seams, seams_of
from edge.errors import EngineError

PIECE_BYTES: Final = 256
_READ_AS_CONTROL: Final = api.LLAMA_TOKEN_ATTR_CONTROL | api.LLAMA_TOKEN_ATTR_UNKNOWN
"""What llama.cpp finds in a text only when it is told to look for special tokens."""
_HARMONY: Final = ("start", "end", "message", "channel", "constrain")
"""The control tokens of gpt-oss, ``<|start|>`` and so on, of which llama.cpp makes common ones, for
its own reader of answers to have their texts. It finds those in every text."""
_HARMONY_TEXTS: Final = frozenset(f"<|{name}|>".encode() for name in _HARMONY)
_APART: Final = re.compile(rf"(?<=<)(?=\|(?:{'|'.join(_HARMONY)})\|>)")
_COMPOSED: Final = frozenset({"qwen2"})
"""Kinds of splitting text up into words, by llama.cpp's names, that go with a tokenizer that puts
its text into composed form (NFC) first. llama.cpp leaves that out."""
_LEADS: Final = "\x01\x02\x03\x04\x05\x06"


def composed_in(model: Any) -> bool:
    """Whether llama.cpp's model was trained with texts in which ``é`` is one character, however it
    was written: then what it is told has to be so, too."""
    buffer = ctypes.create_string_buffer(PIECE_BYTES)
    api.llama_model_meta_val_str(model, b"tokenizer.ggml.pre", buffer, PIECE_BYTES)
    return buffer.value.decode("utf-8", "replace") in _COMPOSED


class Vocabulary:
    """Reads the vocabulary once, which takes a few microseconds a token.

    ``longest_bytes`` is the length of the longest token: a text of more bytes than so many times
    the context cannot fit it. 0 in those kinds that leave out some of a text, such as spaces.
    ``seams`` is where a text can be cut, None where that has not been measured.

    `tokenize`, `parts` and `text_of` may be called on any thread, all else on one at a time.
    """

    def __init__(self, vocab: Any, *, composed: bool = False) -> None:
        """`vocab` is llama.cpp's. `composed`: see `composed_in`."""
        self.pointer = vocab
        self._composed = composed
        self.size = int(api.llama_vocab_n_tokens(vocab))
        self._buffer = ctypes.create_string_buffer(PIECE_BYTES)
        self._pieces: dict[int, bytes] = {}
        kind = api.llama_vocab_type(vocab)
        self.longest_bytes = 0
        self.seams: Seams | None = None
        self._lead, self._lead_tokens = "", 0
        texts = [self.piece(token, special=True) for token in range(self.size)]
        self._found_anyway = frozenset(
            token for token, text in enumerate(texts) if self._is_found_anyway(token, text)
        )
        if kind not in (api.LLAMA_VOCAB_TYPE_WPM, api.LLAMA_VOCAB_TYPE_UGM):
            self.longest_bytes = max(map(len, texts), default=0)
        if kind in (api.LLAMA_VOCAB_TYPE_BPE, api.LLAMA_VOCAB_TYPE_SPM):
            self.seams = seams_of(texts)
        self.puts_space_first = kind == api.LLAMA_VOCAB_TYPE_SPM
        if self.puts_space_first:
            self._find_lead(texts)

    def _find_lead(self, texts: list[bytes]) -> None:
        """SentencePiece puts a space before each text that it is given, which is right for the
        first part alone. The others get a character before them that no token has beside another,
        and its tokens are left out again."""
        for lead in _LEADS:
            if not any(lead.encode() in text and len(text) > 1 for text in texts):
                self._lead, self._lead_tokens = lead, len(self.tokenize(lead))
                return
        self.seams = None

    @property
    def adds_bos(self) -> bool:
        return bool(api.llama_vocab_get_add_bos(self.pointer))

    def adds(self, name: str) -> bool:
        """Whether texts that stand for themselves get the ``bos``, ``eos`` or ``sep`` token."""
        return bool(getattr(api, f"llama_vocab_get_add_{name}")(self.pointer))

    def around(self) -> tuple[list[int], list[int]]:
        """The special tokens before and behind a text that stands for itself."""
        bare, framed = self.tokenize("a"), self._tokenize("a", framed=True)
        for place in range(len(framed) - len(bare) + 1):
            if framed[place : place + len(bare)] == bare:
                return framed[:place], framed[place + len(bare) :]
        raise EngineError("the vocabulary has no letters", recoverable=False)

    def special(self, name: str) -> tuple[int, str]:
        """The id and the text of the ``bos``, ``eos``, ``sep``, ``pad`` or ``unk`` token; (-1, "")
        when there is none."""
        if name == "unk":
            token = self._unknown
        else:
            token = int(getattr(api, f"llama_vocab_{name}")(self.pointer))
        if token < 0:
            return -1, ""
        return token, self.piece(token, special=True).decode("utf-8", "replace")

    @cached_property
    def _unknown(self) -> int:
        """llama.cpp does not name it."""
        return next(
            (
                token
                for token in range(self.size)
                if api.llama_vocab_get_attr(self.pointer, token) & api.LLAMA_TOKEN_ATTR_UNKNOWN
            ),
            -1,
        )

    def ends(self, token: int) -> bool:
        """Whether the token ends the answer."""
        return bool(api.llama_vocab_is_eog(self.pointer, token))

    @cached_property
    def controls(self) -> dict[str, Control]:
        """The control tokens, by their texts."""
        controls = {}
        for token in range(self.size):
            attributes = int(api.llama_vocab_get_attr(self.pointer, token))
            if attributes & _READ_AS_CONTROL or token in self._found_anyway:
                text = self.piece(token, special=True).decode("utf-8", "replace")
                controls[text] = Control(
                    token,
                    bool(attributes & api.LLAMA_TOKEN_ATTR_LSTRIP),
                    bool(attributes & api.LLAMA_TOKEN_ATTR_RSTRIP),
                )
        controls.pop("", None)
        return controls

    def _is_found_anyway(self, token: int, text: bytes) -> bool:
        attributes = int(api.llama_vocab_get_attr(self.pointer, token))
        return text in _HARMONY_TEXTS and bool(attributes & api.LLAMA_TOKEN_ATTR_USER_DEFINED)

    @cached_property
    def end_tokens(self) -> tuple[int, ...]:
        """All tokens that end the answer."""
        return tuple(token for token in range(self.size) if self.ends(token))

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of a short text, in one go; with `special` the text of control tokens means
        those tokens. What a user writes goes through `parts`."""
        return self._tokenize(text, special=special)

    def _tokenize(self, text: str, *, framed: bool = False, special: bool = False) -> list[int]:
        """With `framed` beside those that the vocabulary puts round each text."""
        data = text.encode()
        # A power of two, for each size of array is a type of its own to ctypes.
        room = 1 << (len(data) + 8).bit_length()
        tokens = (api.llama_token * room)()
        count = api.llama_tokenize(self.pointer, data, len(data), tokens, room, framed, special)
        if count < 0:
            raise EngineError("the text could not be tokenised", recoverable=False)
        return list(tokens[:count])

    def parts(self, text: str) -> Iterator[list[int]]:
        """Token ids of a text of any length, part by part, as `seams` has it; as a whole in those
        kinds of which it has not been measured where they can be cut."""
        if self._composed:
            text = unicodedata.normalize("NFC", text)
        # What llama.cpp would take for a control token is cut behind its first character.
        texts = _APART.split(text) if self._found_anyway else [text]
        if self.seams is None:
            for text in texts:
                yield self.tokenize(text)
            return
        for number, part in enumerate(part for text in texts for part in self.seams.cut(text)):
            if number and self._lead:
                yield self.tokenize(self._lead + part)[self._lead_tokens :]
            else:
                yield self.tokenize(part)

    def text_of(self, tokens: Sequence[int]) -> str:
        """What a few tokens say, control tokens included."""
        buffer = ctypes.create_string_buffer(PIECE_BYTES)
        said = b""
        for token in tokens:
            size = api.llama_token_to_piece(self.pointer, token, buffer, PIECE_BYTES, 0, True)
            said += buffer.raw[: max(size, 0)]  # one of no buffer's length is no mark's
        return said.decode("utf-8", "replace")

    def show(self, texts: Iterable[str]) -> None:
        """From now on `piece` has the text of these, where they are control tokens."""
        for text in texts:
            if text in self.controls:
                self._pieces[self.controls[text].token] = text.encode()

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of a token; control tokens have none unless `special`, or they are to be shown
        (`show`)."""
        known = None if special else self._pieces.get(token)
        if known is not None:
            return known
        buffer, vocab = self._buffer, self.pointer
        size = api.llama_token_to_piece(vocab, token, buffer, PIECE_BYTES, 0, special)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = api.llama_token_to_piece(vocab, token, buffer, -size, 0, special)
        piece = buffer.raw[:size]
        if not special:
            self._pieces[token] = piece
        return piece
