"""The ways in which models write calls of tools and what they think, and whose template speaks
which. Pure.

A template that knows no tools, or says calls in a way that is not known here, has its model asked
in `HERMES`, by a message of ours (`edge.answers.by_prompt`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from edge.conversation import TOOL_NAME

_NAME: Final = rf"(?P<name>{TOOL_NAME.pattern})"
_MEMBERS: Final = r'(?:"(?:type|id)"\s*:\s*"\w*"\s*,\s*)?'
_OBJECT: Final = re.compile(
    rf'\s*\[?\s*\{{\s*{_MEMBERS}"name"\s*:\s*"{_NAME}"\s*,\s*'
    r'"(?:arguments|parameters)"\s*:\s*(?=\{)'
)
"""From a call's mark to its arguments, where a call is an object."""

THINK: Final = ("<think>", "</think>")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How calls are written. Each begins with one of ``opens``, which may stand behind other text,
    or the answer itself does with ``opens_answer``, which is then a part of the call. ``head``
    leads to the arguments; ``closes`` follow on them, and where calls are ``listed`` a comma or the
    end of the list. ``ignored`` says nothing between calls. ``arguments`` is the member that has
    them, where a call is an object. ``single``: an answer has one call at most."""

    name: str
    opens: tuple[str, ...]
    head: re.Pattern[str]
    closes: tuple[str, ...]
    opens_answer: str = ""
    arguments: str = "arguments"
    listed: bool = False
    ignored: tuple[str, ...] = ()
    single: bool = False


HERMES: Final = Dialect("hermes", ("<tool_call>",), _OBJECT, ("}", "</tool_call>"))
LLAMA: Final = Dialect(
    "llama", ("<|python_tag|>",), _OBJECT, ("}",), opens_answer='{"name":',
    arguments="parameters", single=True,
)  # fmt: skip
MISTRAL: Final = Dialect("mistral", ("[TOOL_CALLS]",), _OBJECT, ("}",), listed=True)
MISTRAL_NAMED: Final = Dialect(
    "mistral-named",
    ("[TOOL_CALLS]",),
    re.compile(rf"\s*{_NAME}(?:\[CALL_ID\]\w*)?\[ARGS\]\s*(?=\{{)"),
    (),
)
# The bar is no ASCII one (U+FF5C).
_DEEPSEEK_CALLS: Final = ("<\uff5ctool▁calls▁begin\uff5c>", "<\uff5ctool▁calls▁end\uff5c>")
_DEEPSEEK_CALL: Final = ("<\uff5ctool▁call▁begin\uff5c>", "<\uff5ctool▁call▁end\uff5c>")
DEEPSEEK_NAME: Final = "<\uff5ctool▁sep\uff5c>"
DEEPSEEK: Final = Dialect(
    "deepseek",
    (_DEEPSEEK_CALLS[0] + _DEEPSEEK_CALL[0], _DEEPSEEK_CALL[0]),
    re.compile(rf"\s*{_NAME}{DEEPSEEK_NAME}\s*(?=\{{)"),
    (_DEEPSEEK_CALL[1],),
    ignored=(_DEEPSEEK_CALLS[1],),
)
DEEPSEEK_FENCED: Final = Dialect(
    "deepseek-fenced",
    DEEPSEEK.opens,
    re.compile(rf"\s*function{DEEPSEEK_NAME}{_NAME}\s*```json\s*(?=\{{)"),
    ("```", _DEEPSEEK_CALL[1]),
    ignored=DEEPSEEK.ignored,
)
HARMONY: Final = Dialect("harmony", (" to=functions.",), re.compile(_NAME), ())
"""gpt-oss: each message is of a channel; the reader is `edge.answers.harmony`."""

DIALECTS: Final = {
    each.name: each
    for each in (HERMES, LLAMA, MISTRAL, MISTRAL_NAMED, DEEPSEEK, DEEPSEEK_FENCED, HARMONY)
}

HARMONY_MARKS: Final = (
    "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>",
)  # fmt: skip
_THINKING: Final = (THINK, ("[THINK]", "[/THINK]"), ("<seed:think>", "</seed:think>"))


class Model(NamedTuple):
    """What a model's template says of its answers: the dialect of its calls; whether the template
    tells the model of tools in it, or a message of ours has to; the marks around what it thinks,
    if it does."""

    dialect: Dialect
    native: bool
    think: tuple[str, str] | None

    @property
    def thinks(self) -> bool:
        """What it thinks can be told from what it says."""
        return self.think is not None or self.dialect is HARMONY

    @property
    def marks(self) -> Iterator[str]:
        """All marks that mean something in its answers. Some are control tokens, which have to
        come as text then."""
        if self.dialect is HARMONY:
            yield from HARMONY_MARKS
            return
        if self.native:
            yield from self.dialect.opens
            yield from self.dialect.closes
            yield from self.dialect.ignored
            yield from ("[ARGS]", "[CALL_ID]") if self.dialect is MISTRAL_NAMED else ()
            if self.dialect in (DEEPSEEK, DEEPSEEK_FENCED):
                yield from (*_DEEPSEEK_CALLS, DEEPSEEK_NAME)
        yield from self.think or ()


def recognised(template: str, controls: Iterable[str] = ()) -> Model:
    """By the text of a chat template, and the texts of the vocabulary's control tokens."""
    if "<|channel|>" in template and "<|start|>" in template:
        return Model(HARMONY, True, None)
    think = next((each for each in _THINKING if each[1] in template), None)
    dialect = _of_calls(template, frozenset(controls)) if "tools" in template else None
    return Model(dialect or HERMES, dialect is not None, think)


def _of_calls(template: str, controls: frozenset[str]) -> Dialect | None:
    # Members that are XML are another way to say calls, and not known here.
    if "<tool_call>" in template and "<function=" not in template and "<arg_key>" not in template:
        return HERMES
    if "[TOOL_CALLS]" in template:
        return MISTRAL_NAMED if "[ARGS]" in template or "[ARGS]" in controls else MISTRAL
    if _DEEPSEEK_CALL[0] in template:
        return DEEPSEEK_FENCED if "```json" in template else DEEPSEEK
    if "<|start_header_id|>" in template and '"parameters"' in template:
        return LLAMA
    return None


class Form(NamedTuple):
    """How the text of one answer is to be read. ``calls``: it may call tools. ``within``: it begins
    in the middle of what the model thinks, since its prompt has said the mark."""

    dialect: Dialect
    calls: bool
    think: tuple[str, str] | None = None
    within: bool = False

    def written(self) -> str:
        """As a task keeps it; `form_of` is the inverse."""
        said = [self.dialect.name]
        if self.calls:
            said.append(_CALLS)
        if self.think is not None:
            said.append(self.think[1])
        if self.within:
            said.append(_WITHIN)
        return " ".join(said)


_CALLS: Final = "calls"
_WITHIN: Final = "within"


def form_of(written: str) -> Form:
    """The form that was written so. ValueError for anything else."""
    name, *said = written.split(" ")
    think = next((each for each in _THINKING if each[1] in said), None)
    known = {_CALLS, _WITHIN, *(each[1] for each in _THINKING)}
    if name not in DIALECTS or not known.issuperset(said):
        raise ValueError(f"there is no form {written[:80]!r}")
    return Form(DIALECTS[name], _CALLS in said, think, _WITHIN in said)


def form(model: Model, *, calls: bool, prompt_end: str) -> Form | None:
    """How an answer of this model is read whose prompt ends so; None where it says nothing but its
    content."""
    if model.dialect is HARMONY:
        return Form(HARMONY, calls)
    if not calls and model.think is None:
        return None
    within = model.think is not None and prompt_end.rstrip().endswith(model.think[0])
    return Form(model.dialect, calls, model.think, within)
