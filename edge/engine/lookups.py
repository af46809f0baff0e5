"""What a chat template looks for in the texts of users, who have stand-ins in theirs. Pure.

A template asks whether a message has a ``</think>``, splits it there, replaces a word. Where that
is a control token, users' texts have stand-ins for it (`edge.engine.shield`), and what the template
wrote itself has not. So what is looked for is written once in each way, and the template gets what
is there. In its program that is a filter of ours in place of the method or the comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment
from jinja2.visitor import NodeTransformer

from edge.engine.shield import Shield

METHODS: Final = frozenset(
    {
        *("split", "rsplit", "partition", "rpartition", "replace", "removeprefix", "removesuffix"),
        *("startswith", "endswith", "find", "rfind", "index", "rindex", "count"),
    }
)
"""Those of texts whose first argument is looked for."""
_METHOD: Final = "edge method"
_HAS: Final = "edge has"
_IS: Final = "edge is"
_HIDDEN: Final = "edge hidden"
"""No template can name these."""


class Lookups:
    """For one environment. `use` says which stand-ins the next conversation has."""

    def __init__(self, environment: SandboxedEnvironment, shield: Shield) -> None:
        self._stand_ins: Mapping[str, str] = {}
        self._hidden: dict[str, str] = {}
        self._environment = environment
        self._shield = shield
        # Filters that see the context are not worked out when the template is read.
        for name, function in (
            (_METHOD, self._method), (_HAS, self._has), (_IS, self._is), (_HIDDEN, self._hide),
        ):  # fmt: skip
            environment.filters[name] = _seeing(function)

    def found(self, tree: nodes.Template) -> nodes.Template:
        """The same program, in which what it looks for is found."""
        changed: nodes.Template = _Change(self._shield).visit(tree)
        changed.set_environment(self._environment)
        return changed

    def use(self, stand_ins: Mapping[str, str]) -> None:
        """These from now on."""
        self._stand_ins = stand_ins
        self._hidden.clear()

    def _hide(self, context: Context, text: str) -> str:
        return self._as_users_have(text)

    def _as_users_have(self, text: str) -> str:
        """Of the texts that the template looks for, so that there are few."""
        if text not in self._hidden:
            self._hidden[text] = self._shield.hidden(text, self._stand_ins)
        return self._hidden[text]

    def _either(self, value: Any, text: str) -> str:
        """How the text stands in the value, if it does."""
        hidden = self._as_users_have(text)
        return hidden if isinstance(value, str) and hidden in value else text

    def _method(self, context: Context, value: Any, name: str, text: str, *rest: Any) -> Any:
        method = self._environment.getattr(value, name)
        return self._environment.call(context, method, self._either(value, text), *rest)

    def _has(self, context: Context, value: Any, text: str) -> bool:
        return text in value or self._as_users_have(text) in value

    def _is(self, context: Context, value: Any, text: str) -> bool:
        return bool(value == text) or bool(value == self._as_users_have(text))


def _seeing(function: Callable[..., Any]) -> Callable[..., Any]:
    def filtering(context: Context, *given: Any) -> Any:
        return function(context, *given)

    return jinja2.pass_context(filtering)


class _Change(NodeTransformer):
    """Jinja's own names for what it visits."""

    def __init__(self, shield: Shield) -> None:
        self._shield = shield

    def _looked_for(self, node: nodes.Node) -> bool:
        return (
            isinstance(node, nodes.Const)
            and isinstance(node.value, str)
            and self._shield.hides(node.value)
        )

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        self.generic_visit(node)
        method = node.node
        if (
            isinstance(method, nodes.Getattr)
            and method.attr in METHODS
            and node.args
            and self._looked_for(node.args[0])
            and not (node.kwargs or node.dyn_args or node.dyn_kwargs)
        ):
            return _filter(_METHOD, method.node, nodes.Const(method.attr), *node.args)
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:
        self.generic_visit(node)
        if (
            node.name == "replace"
            and node.node is not None
            and node.args
            and self._looked_for(node.args[0])
            and not (node.kwargs or node.dyn_args or node.dyn_kwargs)
        ):
            return _filter(_METHOD, node.node, nodes.Const(node.name), *node.args)
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        if len(node.ops) != 1:
            return node
        (operand,) = node.ops
        left, right = node.expr, operand.expr
        if operand.op in ("in", "notin"):
            if self._looked_for(left):
                return _asked(operand.op == "in", _filter(_HAS, right, left))
            if isinstance(right, nodes.List | nodes.Tuple):
                also = [_filter(_HIDDEN, each) for each in right.items if self._looked_for(each)]
                right.items = [*right.items, *also]
        elif operand.op in ("eq", "ne"):
            if self._looked_for(right):
                return _asked(operand.op == "eq", _filter(_IS, left, right))
            if self._looked_for(left):
                return _asked(operand.op == "eq", _filter(_IS, right, left))
        return node


def _filter(name: str, value: nodes.Expr, *given: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(value, name, list(given), [], None, None, lineno=value.lineno)


def _asked(positively: bool, answer: nodes.Expr) -> nodes.Expr:
    return answer if positively else nodes.Not(answer, lineno=answer.lineno)
