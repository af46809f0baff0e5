"""The form of a task's answer: what it is sampled by, and how one that was cut short is closed."""

from __future__ import annotations

from edge.answers.reader import read
from edge.structured import closing, formats


def grammar(text: str | None, begun: str) -> str | None:
    """What the engine samples by, in GBNF, where the answer begins with `begun`, which another
    model said; None for any text. A beginning on which nothing may follow leaves only an end."""
    if text is None:
        return None
    form = formats.stored(text)
    rules = form.rules()
    if not begun or rules is None:
        return form.grammar()
    return closing.following(rules, begun) or 'root ::= ""'


def ending(text: str | None, said: str, dialect: str | None = None) -> str:
    """What makes this answer whole; empty where it is, and where nothing can. Where its text has a
    dialect the content has the form, and no call and nothing that the model thinks has an end."""
    rules = None if text is None else formats.stored(text).rules()
    if rules is None:
        return ""
    if dialect is not None:
        answer = read(dialect, said)
        if answer.has_calls or not answer.content:
            return ""
        said = answer.content
    return closing.closing(rules, said) or ""


def is_whole(text: str | None, said: str) -> bool:
    """Whether this answer has the form that was asked for."""
    rules = None if text is None else formats.stored(text).rules()
    return rules is None or closing.is_whole(rules, said)
