"""How the answer to a request is sampled and read: by the dialect that the model's template speaks.

Tools make a grammar, begun where the model begins to call one; a call that has to be is sampled by
its grammar from the first token on, or from where the model has thought.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from edge.answers.begins import ROOT, Begins
from edge.answers.calls import AT_ONCE, Calls, Mark, calls
from edge.answers.dialects import Form, form, recognised
from edge.conversation import AUTO, name_of
from edge.engine.messages import Generate, Sampling

_EITHER: Final = "calls-or-form"
_BEHIND_THOUGHT: Final = "behind-thought"
_END_TOKENS: Final = 16
"""Of a prompt, in which the mark of what a model thinks would stand."""


class Plan(NamedTuple):
    """``sampling`` with the grammar that it takes, and when that ``begins``; ``dialect`` is how the
    text is read, as `Form.written` says it, empty where it is content alone."""

    sampling: Sampling
    begins: Begins = Begins()
    dialect: str = ""


class Answering:
    """For a model with this template; `text_of` says what tokens are, control tokens included."""

    def __init__(
        self, template: str, controls: Iterable[str], text_of: Callable[[Sequence[int]], str]
    ) -> None:
        self.model = recognised(template, controls)
        self._text_of = text_of

    def plan(self, request: Generate, prompt: Sequence[int]) -> Plan:
        """For a request whose prompt has these tokens."""
        sampling = request.sampling
        if request.messages is None:
            return Plan(sampling)
        calls_tools = request.tools is not None
        end = "" if request.begun else self._text_of(prompt[-_END_TOKENS:])
        said = form(self.model, calls=calls_tools, prompt_end=end)
        if said is None:
            return Plan(sampling)
        planned = self._calling(request, said) if calls_tools else Plan(sampling)
        if planned.sampling.grammar is not None and not planned.begins.marks:
            planned = _behind_thought(planned, said)
        return planned._replace(dialect=said.written())

    def _calling(self, request: Generate, said: Form) -> Plan:
        assert request.tools is not None, "there are tools to call"
        sampling, wanted = request.sampling, name_of(request.tool_choice)
        made = calls(said.dialect, request.tools, wanted, parallel=request.parallel_tool_calls)
        if request.tool_choice != AUTO:
            return _by(sampling, made.gbnf, Begins(AT_ONCE))
        if sampling.grammar is not None:
            either = f"{_EITHER} ::= {AT_ONCE} | {ROOT}\n"
            return _by(sampling, f"{either}{made.gbnf}{sampling.grammar}", Begins(_EITHER))
        return _by(sampling, made.gbnf, _lazily(made, said))


def _lazily(made: Calls, said: Form) -> Begins:
    return Begins(AT_ONCE, made.marks, said.think, said.within)


def _by(sampling: Sampling, grammar: str, begins: Begins) -> Plan:
    return Plan(replace(sampling, grammar=grammar), begins)


def _behind_thought(planned: Plan, said: Form) -> Plan:
    """A grammar does not hold for what the model thinks, if its prompt has it think."""
    if said.think is None or not said.within:
        return planned
    rule = f'{_BEHIND_THOUGHT} ::= "\\n"{{0,2}} {planned.begins.root}\n'
    begins = Begins(planned.begins.root, (Mark(said.think[1], _BEHIND_THOUGHT),))
    return _by(planned.sampling, f"{rule}{planned.sampling.grammar}", begins)._replace(
        dialect=planned.dialect
    )
