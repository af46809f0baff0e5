"""The form of a task's answer: what it is sampled by, and how one that was cut short is closed."""

from __future__ import annotations

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


def ending(text: str | None, said: str) -> str:
    """What makes this answer whole; empty where it is, and where nothing can."""
    rules = None if text is None else formats.stored(text).rules()
    return "" if rules is None else closing.closing(rules, said) or ""


def is_whole(text: str | None, said: str) -> bool:
    """Whether this answer has the form that was asked for."""
    rules = None if text is None else formats.stored(text).rules()
    return rules is None or closing.is_whole(rules, said)
