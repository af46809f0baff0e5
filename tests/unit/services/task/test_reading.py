from __future__ import annotations

from edge.answers.ids import call_id
from edge.services.task.reading import Reading, message_of, reading_of
from edge.tasks.task import Options, Request, State, Task
from edge.tasks.text import Text

CALL = '<tool_call>{"name": "look", "arguments": {"a": 1}}</tool_call>'
REQUEST = Request("t", "me", "hi", None, None, Options())


def test_a_call_is_told_of_when_its_name_and_when_its_arguments_are_known() -> None:
    reading = Reading("t", "hermes calls", "")
    told = [event for char in CALL for event in reading.feed(char)]
    known = {"index": 0, "id": call_id("t", 0), "name": "look"}
    assert told == [known | {"arguments": None}, known | {"arguments": '{"a": 1}'}]
    assert reading.calls_whole


def test_who_goes_on_with_a_text_tells_no_call_again() -> None:
    reading = Reading("t", "hermes calls", CALL[:45])
    (event,) = reading.feed(CALL[45:])
    assert event["arguments"] == '{"a": 1}'
    assert Reading("t", "hermes calls", CALL).feed("") == []


def test_whether_a_text_is_thought() -> None:
    reading = Reading("t", "hermes </think> within", "Hm")
    assert reading.thinks
    reading.feed("</think>")
    assert not reading.thinks
    assert not reading.calls_whole


def test_the_message_of_a_task() -> None:
    task = Task(REQUEST, State.COMPLETED, 0, output=Text(f"Well. {CALL}"))
    assert message_of(task) is None
    assert reading_of(task) is None
    task.dialect = "hermes calls"
    message = message_of(task)
    assert message is not None
    assert message["content"] == "Well."
    assert message["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"a": 1}'}
    assert reading_of(task) is not None
