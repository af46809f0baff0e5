from __future__ import annotations

from edge.answers import by_prompt
from edge.conversation import Message, ToolCall

TOOLS = '[{"type":"function","function":{"name":"look"}},{"function":{"name":"go"}}]'


def test_the_tools_are_told_by_the_system() -> None:
    user = Message("user", "hi")
    system, *others = by_prompt.told((user,), TOOLS)
    assert (system.role, others) == ("system", [user])
    assert '{"type":"function","function":{"name":"look"}}\n{"function"' in (system.content or "")
    both, *_ = by_prompt.told((Message("system", "Be {kind}."), user), TOOLS)
    assert (both.content or "").startswith("Be {kind}.\n\nYou can call")


def test_calls_and_answers_become_contents() -> None:
    said = (
        Message("user", "hi"),
        Message("assistant", None, (ToolCall("look", '{"at":1}', "1"), ToolCall("go", "{", "2"))),
        Message("tool", "seen", tool_call_id="1"),
        Message("tool", "gone", tool_call_id="2"),
        Message("assistant", "Done.", (ToolCall("go", "{}"),)),
        Message("tool", ""),
    )
    user, calls, answers, more, last = by_prompt.told(said, None)
    assert user is said[0]
    assert calls == Message(
        "assistant",
        '<tool_call>\n{"name": "look", "arguments": {"at":1}}\n</tool_call>\n'
        '<tool_call>\n{"name": "go", "arguments": {}\n</tool_call>',
    )
    assert answers.role == "user"
    assert answers.content == (
        "<tool_response>\nseen\n</tool_response>\n<tool_response>\ngone\n</tool_response>"
    )
    assert (more.content or "").startswith("Done.\n<tool_call>")
    assert last.content == "<tool_response>\n\n</tool_response>"


def test_without_a_system_the_user_says_it() -> None:
    user = Message("user", "hi")
    assert by_prompt.without_system((user,)) == (user,)
    (one,) = by_prompt.without_system((Message("system", "Tools."), user))
    assert one == Message("user", "Tools.\n\nhi")
