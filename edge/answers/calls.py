"""The grammar of an answer that calls tools: their names and no others, with arguments that are
valid by each one's schema. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from edge.answers.dialects import (
    DEEPSEEK,
    DEEPSEEK_FENCED,
    DEEPSEEK_NAME,
    HARMONY,
    HERMES,
    LLAMA,
    MISTRAL,
    Dialect,
)
from edge.errors import InvalidRequest
from edge.structured.grammar import Grammar, Node, Rule, Text, choice, gbnf, optional, repeat
from edge.structured.grammar import sequence as series
from edge.structured.json_rules import json_object
from edge.structured.schema import GRAMMAR_CHARS_MAX, WORK_MAX, Rules

CALLS_MAX: Final = 32
"""Of one answer. Some models would write nothing else."""
PREFIX: Final = "call-"
AT_ONCE: Final = f"{PREFIX}at-once"
_ANY_OBJECT: Final = {"type": "object"}
_NO_PARAMETERS: Final = None
_NONE: Final = "no-arguments"
_OBJECT: Final = "object"
"""The rule of any object, which JSON's own are."""
_WORK_MAX: Final = 4 * WORK_MAX
"""Of all schemas together, in the engine, where other prompts wait meanwhile: a third of a second
at the very most. Arguments of those beyond are only held to be objects."""
_SPACE: Final = optional(Text(" "))
_BREAK: Final = optional(choice(Text("\n"), Text(" ")))
_KEPT: Final = 32
"""Grammars kept of the tools that were given last: many tasks give the same."""


class Mark(NamedTuple):
    """Behind this text an answer goes on by the rule of this name; ``answer`` where it is the
    beginning of the whole answer alone, white space aside."""

    text: str
    rule: str
    answer: bool = False


class Calls(NamedTuple):
    """``gbnf`` has the rules: `AT_ONCE` for an answer that is nothing but calls, and those of the
    ``marks`` for one that may come to a call."""

    gbnf: str
    marks: tuple[Mark, ...]


@lru_cache(maxsize=_KEPT)
def calls(dialect: Dialect, tools: str, name: str | None, *, parallel: bool) -> Calls:
    """Of these tools, JSON as a request has them, or only of the one with this ``name``; without
    ``parallel`` a single call."""
    functions = [tool["function"] for tool in orjson.loads(tools)]
    wanted = [each for each in functions if name in (None, each["name"])]
    most = 1 if dialect.single or not parallel else CALLS_MAX
    made = _calls(dialect, [(each["name"], _schema(each)) for each in wanted], most)
    if len(made.gbnf) > GRAMMAR_CHARS_MAX:
        made = _calls(dialect, [(each["name"], _ANY_OBJECT) for each in wanted], most)
    return made


def _calls(dialect: Dialect, functions: Sequence[tuple[str, Any]], most: int) -> Calls:
    rules, arguments = Rules("", _WORK_MAX), {}
    for name, schema in functions:
        arguments[name] = Rule(_OBJECT if schema == _ANY_OBJECT else _NONE)
        if schema not in (_NO_PARAMETERS, _ANY_OBJECT):
            try:
                arguments[name] = Rule(rules.add(schema, "function", "tools"))
            except InvalidRequest:
                arguments[name] = Rule(_OBJECT)
    grammar, marks = _WRITERS[dialect.name](arguments, most)
    plain = json_object() | {_NONE: Text("{}")}
    del plain["root"]
    return Calls(gbnf(grammar | plain | rules.rules, PREFIX), marks)


def check(tools: str, field: str = "tools") -> None:
    """Refuses a tool that is ``strict`` and has a schema that no grammar can say, or that is too
    much beside the others. Of another tool that has such a schema the arguments are only held to be
    an object."""
    rules = Rules("")
    for at, tool in enumerate(orjson.loads(tools)):
        function = tool["function"]
        if function.get("strict") and function.get("parameters"):
            what, where = f"function {function['name']!r}", f"{field}[{at}].function.parameters"
            rules.add(_schema(function), what, where)


def _schema(function: Mapping[str, Any]) -> Any:
    parameters = function.get("parameters")
    return parameters | {"type": "object"} if parameters else _NO_PARAMETERS


_Written = tuple[Grammar, tuple[Mark, ...]]
"""Rules beside those of the arguments; of these none is called like one of JSON's own."""
_Arguments = Mapping[str, Rule]


def _mark(text: str, rule: str, *, answer: bool = False) -> Mark:
    return Mark(text, PREFIX + rule, answer)


def _more(call: Node, most: int) -> Node:
    """Further calls, where an answer may have ``most``."""
    return repeat(call, 0, most - 1)


def _member(name: str, value: Node) -> Node:
    return series(Text(f'"{name}":'), _SPACE, value)


def _object(name: str, arguments: Rule, member: str) -> Node:
    return series(
        Text("{"), _member("name", Text(f'"{name}"')), Text(","), _SPACE,
        _member(member, arguments), _BREAK, Text("}"),
    )  # fmt: skip


def _objects(arguments: _Arguments, member: str = "arguments") -> Node:
    return choice(*[_object(name, rule, member) for name, rule in arguments.items()])


def _hermes(arguments: _Arguments, most: int) -> _Written:
    opens, closes = HERMES.opens[0], HERMES.closes[-1]
    grammar: Grammar = {
        "one": _objects(arguments),
        "body": series(_BREAK, Rule("one"), _BREAK, Text(closes)),
        "more": series(_BREAK, Text(opens), Rule("body")),
        "behind": series(Rule("body"), _more(Rule("more"), most)),
        "at-once": series(Text(opens), Rule("behind")),
    }
    return grammar, (_mark(opens, "behind"),)


def _llama(arguments: _Arguments, _most: int) -> _Written:
    begins = LLAMA.opens_answer
    rest = choice(
        *[
            series(_SPACE, Text(f'"{name}",'), _SPACE, _member(LLAMA.arguments, rule), _BREAK,
                   Text("}"))
            for name, rule in arguments.items()
        ]
    )  # fmt: skip
    grammar: Grammar = {"rest": rest, "at-once": series(Text(begins), Rule("rest"))}
    return grammar, (_mark(LLAMA.opens[0], "at-once"), _mark(begins, "rest", answer=True))


def _mistral(arguments: _Arguments, most: int) -> _Written:
    more = series(Text(","), _SPACE, Rule("one"))
    grammar: Grammar = {
        "one": _objects(arguments),
        "more": more,
        "behind": series(
            _SPACE, Text("["), Rule("one"), _more(Rule("more"), most), Text("]")
        ),
        "at-once": series(Text(MISTRAL.opens[0]), Rule("behind")),
    }  # fmt: skip
    return grammar, (_mark(MISTRAL.opens[0], "behind"),)


def _mistral_named(arguments: _Arguments, most: int) -> _Written:
    opens = MISTRAL.opens[0]
    call = choice(*[series(Text(f"{name}[ARGS]"), rule) for name, rule in arguments.items()])
    grammar: Grammar = {
        "call": call,
        "more": series(Text(opens), Rule("call")),
        "behind": series(Rule("call"), _more(Rule("more"), most)),
        "at-once": series(Text(opens), Rule("behind")),
    }
    return grammar, (_mark(opens, "behind"),)


def _deepseek(arguments: _Arguments, most: int, *, fenced: bool = False) -> _Written:
    first, each = DEEPSEEK.opens
    head = "function{separator}{name}\n```json\n" if fenced else "{name}{separator}"
    ends = ("\n```" if fenced else "") + DEEPSEEK.closes[-1]
    call = choice(
        *[
            series(
                Text(head.format(name=name, separator=DEEPSEEK_NAME)), rule, Text(ends),
            )
            for name, rule in arguments.items()
        ]
    )  # fmt: skip
    grammar: Grammar = {
        "call": call,
        "more": series(_BREAK, Text(each), Rule("call")),
        "behind": series(Rule("call"), _more(Rule("more"), most), Text(DEEPSEEK.ignored[0])),
        "at-once": series(Text(first), Rule("behind")),
    }
    return grammar, (_mark(each, "behind"),)


def _harmony(arguments: _Arguments, _most: int) -> _Written:
    kind = optional(choice(Text(" json"), Text(" <|constrain|>json")))
    # The recipient stands behind the channel, or before it.
    channel = optional(Text("<|channel|>commentary"))
    behind = choice(
        *[
            series(Text(name), channel, kind, Text("<|message|>"), rule)
            for name, rule in arguments.items()
        ]
    )
    grammar: Grammar = {
        "behind": behind,
        "at-once": series(Text(f"<|channel|>commentary{HARMONY.opens[0]}"), Rule("behind")),
    }
    return grammar, (_mark(HARMONY.opens[0], "behind"),)


def _deepseek_fenced(arguments: _Arguments, most: int) -> _Written:
    return _deepseek(arguments, most, fenced=True)


_WRITERS: Final = {
    HERMES.name: _hermes, LLAMA.name: _llama, MISTRAL.name: _mistral,
    "mistral-named": _mistral_named, DEEPSEEK.name: _deepseek,
    DEEPSEEK_FENCED.name: _deepseek_fenced, HARMONY.name: _harmony,
}  # fmt: skip
