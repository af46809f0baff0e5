"""The form of a task's answer: what it is sampled by, and how one that was cut short is closed."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from edge.structured import closing, formats, gbnf
from edge.structured.grammar import Grammar

_KEPT: Final = 8
"""Grammars kept as they were read; a large one takes some MB."""


@lru_cache(maxsize=_KEPT)
def _read(text: str) -> Grammar | None:
    grammar = formats.stored(text).grammar()
    return None if grammar is None else gbnf.read(grammar)


def grammar(text: str | None, begun: str) -> str | None:
    """What the engine samples by, in GBNF, where the answer begins with `begun`, which another
    model said; None for any text. A beginning on which nothing may follow leaves only an end."""
    if text is None:
        return None
    if not begun:
        return formats.stored(text).grammar()
    read = _read(text)
    if read is None:
        return None
    return closing.following(read, begun) or 'root ::= ""'


def ending(text: str | None, said: str) -> str:
    """What makes this answer whole; empty where it is, and where nothing can."""
    read = None if text is None else _read(text)
    return "" if read is None else closing.closing(read, said) or ""


def is_whole(text: str | None, said: str) -> bool:
    """Whether this answer has the form that was asked for."""
    read = None if text is None else _read(text)
    return read is None or closing.is_whole(read, said)
