"""Conversations that chat templates are tried with: everything that a client may say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edge.conversation import Message, ToolCall
from tests.support.families import TEMPLATES, Family

HOSTILE: Final = "Qzhostileqz"
"""A word in whose place the text of each control token stands in the end, or none of them."""
IDS: Final = TEMPLATES / "reference_ids.json"
"""By family and case, the token ids or null: what `tests.support.make_reference_ids` writes."""
UNIX_S: Final = 1_750_000_000
"""When all this is said: on 15 June 2025."""

SYSTEM: Final = Message("system", "You are kind.")
CALL: Final = ToolCall(
    "get_weather",
    '{"city": "Bern", "days": [1, 2.5, null], "<a>": {"é": "\\"x\\"\\n"}}',
    "call12345",
)
SECOND: Final = ToolCall("stop", "{}", "call67890")
TOOLS: Final[tuple[dict[str, Any], ...]] = (
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Tells the weather: \"sun\" & 'rain' <there>, naïvely.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Where"},
                    "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
                    "days": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["city"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "stop",
            "description": "",
            "parameters": {"type": "object", "properties": {}},
        },
    },
)


@dataclass(frozen=True)
class Case:
    """One conversation, with what else the template sees."""

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)

    def saying(self, text: str) -> Case:
        """With the text in place of `HOSTILE`, which has no characters that JSON escapes."""
        tools = json.loads(json.dumps(self.tools).replace(HOSTILE, json.dumps(text)[1:-1]))
        return replace(self, messages=_said(self.messages, text), tools=tuple(tools))


def _said(value: Any, text: str) -> Any:
    """A message, a call or several of them."""
    if isinstance(value, str):
        return value.replace(HOSTILE, text)
    if not isinstance(value, tuple):
        return value
    parts = [_said(each, text) for each in value]
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)


def user(content: str) -> Message:
    return Message("user", content)


def assistant(content: str | None, *calls: ToolCall, thought: str | None = None) -> Message:
    return Message("assistant", content, calls, reasoning_content=thought)


def result(content: str, call: ToolCall = CALL) -> Message:
    return Message("tool", content, tool_call_id=call.call_id, name=call.name)


ODD: Final = "é e\u0301 字か한 🦊👩‍👧 \u3000x\u00a0y\u200bz\x07 1234567 3.14 I'LL can't X"
CODE: Final = (
    "def f(x):\n\tif x < 3 and x[0] | 1:\n        return {\"a\": '{{ x }}'}  # </b>\r\n\n\n\nok"
)
FOREIGN: Final = (
    "<| im_end |> <|im_ end|> [ INST ] </ s> <<SYS>> <\uff5c User \uff5c> <| [/ |> \ue000 \\ue000"
)
THOUGHT: Final = "<think>\nTwo and two.\n</think>\n\nfour"
ASKED: Final = (user("What is 2 + 2?"), assistant("4", thought="Two and\ntwo.\n"))

CASES: Final[dict[str, Case]] = {
    "hi": Case((user("hi"),)),
    "system": Case((SYSTEM, user("Tell me of foxes."))),
    "developer": Case((Message("developer", "Be brief."), user("Tell me of foxes."))),
    "turns": Case(
        (SYSTEM, user("Hello!"), assistant("Hello. How can I help?"), user("A story, please"),
         assistant("Once upon a time there was a fox."), user("Go on…"))
    ),
    "blanks": Case(
        (Message("system", " be brief \n"), user("  \n two  spaces \n\n"), assistant("\n ok \t"),
         user("   "))
    ),
    "empty": Case((user(""), assistant(""), user(""))),
    "empty system": Case((Message("system", ""), user("hi"))),
    "odd": Case((user(ODD), assistant(ODD), user(ODD))),
    "code": Case((user(CODE), assistant(CODE), user(CODE))),
    "foreign": Case((user(FOREIGN), assistant(FOREIGN), user(FOREIGN))),
    "user twice": Case((user("a"), user("b"))),
    "system within": Case((user("a"), assistant("b"), SYSTEM, user("c"))),
    "thought": Case((*ASKED, user("And 3 + 3?"))),
    "thought in the text": Case((user("What is 2 + 2?"), assistant(THOUGHT), user("Sure?"))),
    "not thinking": Case((user("hi"),), variables={"enable_thinking": False}),
    "effort": Case((user("hi"),), variables={"reasoning_effort": "high"}),
    "tools": Case((SYSTEM, user("What is the weather?")), TOOLS),
    "tools without a system": Case((user(" What is the weather? "),), TOOLS),
    "a call": Case(
        (user("And the weather?"), assistant(None, CALL), result('{"c": 8, "sky": "<grey>"}'),
         assistant("8 °C."), user("Thanks")),
        TOOLS,
    ),
    "a call with a thought": Case(
        (SYSTEM, user("And the weather?"), assistant(None, CALL, thought="I look."),
         result("8 °C")),
        TOOLS,
    ),
    "two calls": Case(
        (SYSTEM, user("Go"), assistant("I do.", CALL, SECOND), result(" 8\n"),
         result("stopped", SECOND)),
        TOOLS,
    ),
    "a call without an id": Case((user("Go"), assistant("", ToolCall("stop", "{}"))), TOOLS),
    "hostile": Case(
        (Message("system", f"a{HOSTILE}b"), user(f"{HOSTILE} x {HOSTILE}"), assistant("ok"),
         user(f"x\n{HOSTILE}\n"))
    ),
    "hostile tools": Case(
        (
            user(HOSTILE),
            assistant(None, ToolCall("f", f'{{"a": "{HOSTILE}"}}', "call12345")),
            result(f"x {HOSTILE}"),
        ),
        (
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "description": f"is {HOSTILE}",
                    "parameters": {
                        "type": "object",
                        "properties": {"a": {"type": "string", "description": HOSTILE}},
                    },
                },
            },
        ),
    ),
}  # fmt: skip


def cases_of(family: Family) -> dict[str, Case]:
    """Those that can be told to the family's template: all but tools, where it knows none."""
    knows_tools = "tools" in family.template
    return {name: case for name, case in CASES.items() if knows_tools or not case.tools}


def hostile(family: Family) -> str:
    """The text of each control token, alone and behind each other."""
    return " ".join(family.controls) + "".join(family.controls)
