"""The form of an answer, for who samples and for who has to end it."""

from __future__ import annotations

from edge.engine.messages import Finished
from edge.services.task import answer_form
from edge.services.task.journal import rebuild
from edge.services.task.messages import generate
from edge.structured import gbnf
from edge.structured.closing import is_whole
from edge.tasks.task import Fallback, Options, Request, State, Task
from edge.tasks.text import Text
from tests.support.rows import uid
from tests.support.workshop import Workshop

OBJECT = '{"type":"json_object"}'
CHOICE = '{"type":"choice","choices":["red wine","rose"]}'


def test_any_text_has_no_form() -> None:
    assert answer_form.grammar(None, "begun") is None
    assert answer_form.ending(None, "x") == ""
    assert answer_form.is_whole(None, "x")
    assert answer_form.grammar('{"type":"text"}', "begun") is None


def test_an_answer_that_was_cut_short_is_closed() -> None:
    assert answer_form.ending(OBJECT, '{"a": ["b') == '"]}'
    assert answer_form.ending(OBJECT, "{}") == ""
    assert answer_form.ending(OBJECT, "no object") == ""
    assert answer_form.is_whole(OBJECT, "{}")
    assert not answer_form.is_whole(OBJECT, "{")


def test_another_model_goes_on_by_what_may_follow() -> None:
    options = Options(response_format=CHOICE)
    request = Request("t", "ada", "hi", None, None, options)
    task = Task(request, State.EXECUTING, 0, output=Text("red"), fallback=Fallback("x", 3, 2))
    grammar = generate(task, 1).sampling.grammar
    assert grammar is not None
    assert is_whole(gbnf.read(grammar), " wine")
    assert not is_whole(gbnf.read(grammar), "rose")
    task.output = Text("red wine")
    task.fallback = Fallback("x", 8, 2)
    grammar = generate(task, 1).sampling.grammar
    assert grammar is not None
    assert is_whole(gbnf.read(grammar), "")


async def test_what_closes_an_answer_is_output_like_any_other() -> None:
    shop = Workshop(pumped=True)
    shop.work()
    request = Request(uid(1), "ada", "1", None, None, Options(response_format=OBJECT))
    await shop.tasks.submit(request, own_id=True)
    shop.work()
    shop.output(1, '{"a": "Once ')
    run = shop.engine.runs["1"]
    run.reply_to.send(Finished(run.request.key, "length", "up", 3, 0, 4, 1.0, 1.0))
    shop.work()
    stored = await shop.shelf.get(uid(1))
    assert stored is not None
    snapshot = rebuild(stored)
    assert snapshot.text == '{"a": "Once up"}'
    assert (snapshot.finish_reason, snapshot.usage.completion_tokens) == ("length", 4)


async def test_a_cancelled_answer_stays_as_it_is() -> None:
    shop = Workshop(pumped=True)
    shop.work()
    request = Request(uid(1), "ada", "1", None, None, Options(response_format=OBJECT))
    await shop.tasks.submit(request, own_id=True)
    shop.work()
    shop.output(1, '{"a": "Once ')
    shop.ask("cancel", 1)
    stored = await shop.shelf.get(uid(1))
    assert stored is not None
    assert rebuild(stored).text == '{"a": "Once '
