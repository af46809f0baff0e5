"""From a JSON Schema to the rules of a grammar whose every text is valid by it.

Not every valid text can be said, though. White space is bounded; members come in the order of
``properties``; where these are listed, others come only if ``additionalProperties`` asks for them;
of what overlaps, a part is left out where that keeps the grammar small. What would make an invalid
text valid is refused by name, `InvalidRequest` with the keyword and its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final
from urllib.parse import unquote

from edge.errors import InvalidRequest
from edge.json_values import too_deep
from edge.structured.emission import Emitter
from edge.structured.grammar import Grammar, Rule, gbnf
from edge.structured.keywords import (
    Conjunction,
    Path,
    Place,
    Said,
    SchemaError,
    kind_of,
    read,
    refuse,
    same,
    together,
)
from edge.structured.pruning import pruned

LEVELS_MAX: Final = 64
"""Objects and lists within each other, in the schema's own JSON."""
ALTERNATIVES_MAX: Final = 256
"""Ways in which one value may be valid."""
WORK_MAX: Final = 8_000
"""What a schema may cost, on the node's loop, in units of about 10 microseconds: 75 ms were
measured, and twice that on a slow machine. One of 20 members takes 1 ms."""
_READ_COST: Final = 4
_MEMBERS_OF_COST: Final = 8
GRAMMAR_CHARS_MAX: Final = 131_072
_DEPTH_MAX: Final = 60
"""Of what is combined, and of references, within each other."""
_APART_DEPTH: Final = 4


class Rules:
    """Rules for schemas, to be put into one grammar. Every name begins with ``prefix``, which has
    letters, digits and dashes; nothing is called ``root`` unless it is the prefix's doing. All
    schemas together may cost ``work_max``, in the units of `WORK_MAX`."""

    def __init__(self, prefix: str = "json-", work_max: int = WORK_MAX) -> None:
        self._prefix = prefix
        self._grammar: Grammar = {}
        self._work_left = work_max
        self._chars = 0

    def add(self, schema: Any, what: str, field: str) -> str:
        """The name of the rule that says this schema. ``what`` is whose schema it is, for people:
        ``response_format 'order'``. `InvalidRequest` with ``field`` when it cannot be had."""
        known = len(self._grammar)
        try:
            reading = _Reading(schema, self._grammar, self._work_left)
            try:
                rule = reading.rule()
            finally:
                self._work_left -= reading.worked
        except SchemaError as error:
            sentence = f"Invalid schema for {what}: {error}"
            raise InvalidRequest(sentence, field=field) from error
        self._chars += len(gbnf(dict(islice(self._grammar.items(), known, None)), self._prefix))
        if self._chars > GRAMMAR_CHARS_MAX:
            raise InvalidRequest(
                f"Invalid schema for {what}: its grammar takes more than {GRAMMAR_CHARS_MAX}"
                " characters; make it smaller",
                field=field,
            )
        return self._prefix + rule

    @property
    def rules(self) -> Grammar:
        """All rules, without the prefix in their names."""
        return self._grammar

    def whole(self, name: str) -> Grammar:
        """The rules as a grammar of which this one, as `add` named it, is the root."""
        return {"root": Rule(name.removeprefix(self._prefix))} | self._grammar

    def gbnf(self) -> str:
        """All rules as text, a rule a line."""
        return gbnf(self._grammar, self._prefix)


class _Reading:
    """One schema on its way into a grammar."""

    def __init__(self, schema: Any, grammar: Grammar, work_max: int) -> None:
        if not isinstance(schema, dict | bool):
            raise refuse("a schema has to be an object", ())
        if too_deep(schema, LEVELS_MAX):
            raise refuse(f"it is nested deeper than {LEVELS_MAX} levels", ())
        self._root = Place((), schema)
        self._grammar = grammar
        self._work_max = work_max
        self.worked = 0
        self._known: dict[tuple[Any, ...], list[Said]] = {}

    def rule(self) -> str:
        fresh: Grammar = {}
        emitter = Emitter(self.alternatives, self._work, fresh, f"s{len(self._grammar)}")
        name = emitter.emit((self._root,))
        fresh = pruned(fresh)
        if name not in fresh:
            raise refuse("no value satisfies it", ())
        self._grammar |= fresh
        return name

    # ---- what a value may be

    def alternatives(self, places: Conjunction) -> list[Said]:
        """All ways in which a value satisfies these schemas; none when nothing does."""
        key = tuple(place.path for place in places)
        if key not in self._known:
            found = self._of(places[0], (), 0) if places else [Said()]
            for place in places[1:]:
                found = self._product(found, self._of(place, (), 0), place)
            self._known[key] = found
        return self._known[key]

    def _product(self, one: Iterable[Said], other: Sequence[Said], place: Place) -> list[Said]:
        found = []
        for mine in one:
            for theirs in other:
                members = len(mine.properties) + len(theirs.properties)
                self._work(place.path, _READ_COST + members // _MEMBERS_OF_COST)
                both = together(mine, theirs)
                if both is not None:
                    found.append(both)
        if len(found) > ALTERNATIVES_MAX:
            raise refuse(f"more than {ALTERNATIVES_MAX} alternatives", place.path)
        return found

    def _work(self, path: Path, cost: int) -> None:
        self.worked += cost
        if self.worked > self._work_max:
            raise refuse("it is too large, or refers to itself too often", path)

    def _of(self, place: Place, chain: tuple[Any, ...], depth: int) -> list[Said]:
        """``chain`` are the references on the way here on which nothing was said."""
        schema, path = place.schema, place.path
        self._work(path, _READ_COST)
        if isinstance(schema, bool):
            return [Said(path)] if schema else []
        if not isinstance(schema, dict):
            raise refuse("a schema has to be an object, true or false", path)
        if depth > _DEPTH_MAX:
            raise refuse("too many references or combinations within each other", path)
        found = [read(place)]
        if "$ref" in schema:
            target = self._target(place)
            if target.path in chain:
                raise refuse("'$ref' leads back to itself", (*path, "$ref"))
            referred = self._of(target, (*chain, target.path), depth + 1)
            found = self._product(found, referred, place)
        for each in self._listed(place, "allOf"):
            found = self._product(found, self._of(each, chain, depth + 1), place)
        options = self._listed(place, "anyOf")
        if options:
            any_of = [said for each in options for said in self._of(each, chain, depth + 1)]
            found = self._product(found, any_of, place)
        options = self._listed(place, "oneOf")
        if options:
            found = self._one_of(found, options, chain, depth, place)
        if schema.get("nullable") is True:
            found.append(Said(path, types=frozenset({"null"}), typed=True))
        return found

    def _listed(self, place: Place, name: str) -> list[Place]:
        value = place.schema.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not value:
            raise refuse(f"'{name}' has to be a list that is not empty", (*place.path, name))
        return [place.at(name, at) for at in range(len(value))]

    def _target(self, place: Place) -> Place:
        ref, path = place.schema["$ref"], (*place.path, "$ref")
        if not isinstance(ref, str) or (ref != "#" and not ref.startswith("#/")):
            raise refuse("'$ref' has to lead into the same schema: #/$defs/…", path)
        target = self._root
        for step in ref.split("/")[1:]:
            step = unquote(step).replace("~1", "/").replace("~0", "~")
            inner = target.schema
            if isinstance(inner, dict) and step in inner:
                target = target.at(step)
            elif isinstance(inner, list) and step.isdecimal() and int(step[:9]) < len(inner):
                target = Place((*target.path, step), inner[int(step[:9])])
            else:
                raise refuse(f"'$ref' leads to {ref[:80]}, where nothing is", path)
        return target

    # ---- exactly one

    def _one_of(
        self, base: list[Said], options: list[Place], chain: tuple[Any, ...], depth: int,
        place: Place,
    ) -> list[Said]:  # fmt: skip
        """The alternatives, which have to be such that no text is valid by two of them."""
        groups = [self._product(base, self._of(each, chain, depth + 1), place) for each in options]
        if self._told_apart(groups):
            return [said for group in groups for said in group]
        for at, group in enumerate(groups):
            for other_at, other in enumerate(groups):
                apart = at == other_at or all(
                    self._apart(mine, theirs, place, 0) for mine in group for theirs in other
                )
                if not apart:
                    raise refuse(
                        f"'oneOf' is supported where no value can be valid by two of its schemas,"
                        f" which is not sure of {at} and {other_at}; use anyOf",
                        (*place.path, "oneOf"),
                    )
        return [said for group in groups for said in group]

    def _told_apart(self, groups: list[list[Said]]) -> bool:
        """Whether there is a member that all of them have, and each with other values."""
        every = [said for group in groups for said in group]
        for name in every[0].required if every else ():
            if not all(name in said.required and name in said.properties for said in every):
                continue
            values = [
                {same(value) for said in group for value in self._listed_values(said, name)}
                for group in groups
            ]
            if all(values) and len(set().union(*values)) == sum(map(len, values)):
                return all(self._has_values(said, name) for said in every)
        return False

    def _has_values(self, said: Said, name: str) -> bool:
        found = self.alternatives(said.properties[name])
        return all(each.values is not None for each in found)

    def _listed_values(self, said: Said, name: str) -> list[Any]:
        found = self.alternatives(said.properties[name])
        return [value for each in found for value in each.values or ()]

    def _apart(self, mine: Said, theirs: Said, place: Place, depth: int) -> bool:
        """Whether nothing that is made by the first is valid by the second."""
        self._work(place.path, 1)
        kinds = {_number(kind) for kind in mine.kinds()}
        shared = kinds & {_number(kind) for kind in theirs.types}
        if not shared:
            return True
        if mine.values is not None:
            if theirs.values is not None:
                known = {same(value) for value in theirs.values}
                return not any(same(value) in known for value in mine.values)
            return not shared & {kind_of(value) for value in mine.values}
        if theirs.values is not None:
            return not shared & {kind_of(value) for value in theirs.values}
        return shared == {"object"} and self._objects_apart(mine, theirs, place, depth)

    def _objects_apart(self, mine: Said, theirs: Said, place: Place, depth: int) -> bool:
        makes_others = mine.extra is not False and not (mine.extra is None and mine.listed)
        if not makes_others:
            made = mine.properties.keys() | mine.required.keys()
            if any(name not in made for name in theirs.required):
                return True
        for name in mine.required:
            there = theirs.properties.get(name, theirs.extra)
            if there is False:
                return True
            here = mine.properties.get(name)
            if here is None or there is None or depth >= _APART_DEPTH:
                continue
            if all(
                self._apart(one, other, place, depth + 1)
                for one in self.alternatives(here)
                for other in self.alternatives(there)
            ):
                return True
        return False


def _number(kind: str) -> str:
    return "number" if kind == "integer" else kind
