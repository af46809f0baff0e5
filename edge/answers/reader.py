"""Reads an answer's text: a pure function of it, which may come in any pieces."""

from __future__ import annotations

from typing import Protocol

from edge.answers.deltas import Answer, Delta
from edge.answers.dialects import HARMONY, Form, form_of
from edge.answers.harmony import HarmonyReader
from edge.answers.marked import MarkedReader


class Reader(Protocol):
    """`feed` with each piece, `end` once, after the last. ``thinks``: what comes next is of what
    the model thinks, as far as is known."""

    @property
    def thinks(self) -> bool: ...

    def feed(self, piece: str) -> list[Delta]: ...

    def end(self) -> list[Delta]: ...


def reader(form: Form) -> Reader:
    """A reader for the text of one answer, from its first character."""
    return HarmonyReader(form) if form.dialect is HARMONY else MarkedReader(form)


def read(form: str, text: str) -> Answer:
    """All that a whole text says; ``form`` is a `Form` as a task keeps it."""
    reads = reader(form_of(form))
    answer = Answer(reads.feed(text))
    answer.add(reads.end())
    return answer
