"""``response_format``: the form that an answer has to have, as a client asks for it.

`read` checks it and makes the grammar, so that nothing is accepted that cannot be held to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from edge.errors import InvalidRequest
from edge.structured import gbnf, json_rules
from edge.structured.grammar import Grammar, one_of
from edge.structured.grammar import gbnf as written
from edge.structured.schema import GRAMMAR_CHARS_MAX, Rules

FIELD: Final = "response_format"
KINDS: Final = ("text", "json_object", "json_schema", "grammar", "choice")
CHOICES_MAX: Final = 1_000
NAME_CHARS_MAX: Final = 64
OWN_GRAMMAR_CHARS_MAX: Final = 65_536
"""Of a grammar that a client sends: it is read on the node's loop, at about 1 microsecond each."""
FORMAT_BYTES_MAX: Final = 131_072
_KEPT: Final = 16
"""Grammars kept of the formats that were asked for last: many tasks ask for the same."""


@dataclass(frozen=True, slots=True)
class Format:
    """A checked format. ``text`` is it as JSON, as `stored` takes it; ``kind`` one of `KINDS`."""

    kind: str
    text: str

    def grammar(self) -> str | None:
        """What the answer has to follow, in GBNF; None when it may be any text."""
        return None if self.kind == "text" else _made(self.text, FIELD).gbnf

    def rules(self) -> Grammar | None:
        """The same as rules."""
        return None if self.kind == "text" else _made(self.text, FIELD).rules


def read(value: Any, field: str) -> Format:
    """The format that a client asks for. ``field`` is where it stands, for `InvalidRequest`."""
    if not isinstance(value, dict):
        raise InvalidRequest(f"{field} has to be an object", field=field)
    kind = value.get("type")
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise InvalidRequest(f"the type has to be one of {known}", field=f"{field}.type")
    content = kind if kind in ("json_schema", "grammar") else "choices"
    allowed = {"type"} if kind in ("text", "json_object") else {"type", content}
    _refuse_others(value, allowed, field)
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        # Over the levels that JSON is written with, and over those that a schema may have.
        raise InvalidRequest(f"Invalid schema for {field}: {error}", field=field) from error
    if len(text) > FORMAT_BYTES_MAX:
        raise InvalidRequest(f"{field} is over {FORMAT_BYTES_MAX} characters", field=field)
    if kind == "json_schema":
        _check_schema(value, field)
    elif kind == "grammar":
        _check_grammar(value.get("grammar"), f"{field}.grammar")
    elif kind == "choice":
        _check_choices(value.get("choices"), f"{field}.choices")
    if kind != "text":
        _made(text, field)
    return Format(kind, text)


def stored(text: str) -> Format:
    """The format of which this is the text."""
    return Format(orjson.loads(text)["type"], text)


def _refuse_others(value: dict[str, Any], allowed: set[str], field: str) -> None:
    for name in value:
        if name not in allowed:
            known = ", ".join(sorted(allowed))
            raise InvalidRequest(
                f"there is no {name[:40]!r} here; there are {known}", field=f"{field}.{name[:40]}"
            )


def _check_schema(value: dict[str, Any], field: str) -> None:
    field = f"{field}.json_schema"
    given = value.get("json_schema")
    if not isinstance(given, dict):
        raise InvalidRequest(f"{field} has to be an object", field=field)
    _refuse_others(given, {"name", "description", "schema", "strict"}, field)
    name = given.get("name")
    if name is not None and not (isinstance(name, str) and 0 < len(name) <= NAME_CHARS_MAX):
        raise InvalidRequest(
            f"the name has to be text of 1 to {NAME_CHARS_MAX} characters", field=f"{field}.name"
        )
    if not isinstance(given.get("description"), str | None):
        raise InvalidRequest("the description has to be text", field=f"{field}.description")
    if not isinstance(given.get("strict"), bool | None):
        raise InvalidRequest("strict has to be true or false", field=f"{field}.strict")
    if given.get("schema") is None:
        raise InvalidRequest("the schema is missing", field=f"{field}.schema")


class _Made(NamedTuple):
    gbnf: str
    rules: Grammar


def _of_schema(given: dict[str, Any], field: str) -> _Made:
    what = FIELD
    if given.get("name") is not None:
        what += f" {given['name']!r}"
    rules = Rules()
    name = rules.add(given["schema"], what, f"{field}.schema")
    return _Made(f"root ::= {name}\n{rules.gbnf()}", rules.whole(name))


def _check_grammar(text: Any, field: str) -> None:
    if not isinstance(text, str) or not text.strip():
        raise InvalidRequest("the grammar has to be text and not empty", field=field)
    if len(text) > OWN_GRAMMAR_CHARS_MAX:
        sentence = f"the grammar is over {OWN_GRAMMAR_CHARS_MAX} characters"
        raise InvalidRequest(sentence, field=field)


def _check_choices(choices: Any, field: str) -> None:
    if not isinstance(choices, list) or not 0 < len(choices) <= CHOICES_MAX:
        raise InvalidRequest(f"choices has to be a list of 1 to {CHOICES_MAX}", field=field)
    if not all(isinstance(each, str) and each for each in choices):
        raise InvalidRequest("each choice has to be text and not empty", field=field)


def _of_grammar(text: str, field: str) -> _Made:
    try:
        return _Made(text, gbnf.read(text))
    except gbnf.GbnfError as error:
        raise InvalidRequest(f"the grammar cannot be read: {error}", field=field) from error


@lru_cache(maxsize=_KEPT)
def _made(text: str, field: str) -> _Made:
    value = orjson.loads(text)
    kind = value["type"]
    if kind == "json_schema":
        return _of_schema(value["json_schema"], f"{field}.json_schema")
    if kind == "grammar":
        return _of_grammar(value["grammar"], f"{field}.grammar")
    grammar: Grammar = (
        json_rules.json_object() if kind == "json_object" else {"root": one_of(value["choices"])}
    )
    found = written(grammar)
    if len(found) > GRAMMAR_CHARS_MAX:
        raise InvalidRequest("the choices are too long together", field=f"{field}.choices")
    return _Made(found, grammar)
