from __future__ import annotations

import pytest

from edge.answers import dialects
from edge.answers.dialects import DIALECTS, THINK, Form, form, form_of, recognised

QWEN = "{% if tools %}<tool_call>{% endif %}{% if x %}<think>\n\n</think>{% endif %}"


@pytest.mark.parametrize(
    ("template", "name", "native"),
    [
        (QWEN, "hermes", True),
        ("{{ tools }}<tool_call><function=", "hermes", False),
        ("{{ tools }}<tool_call><arg_key>", "hermes", False),
        ('{{ tools }}<|start_header_id|>{"name":, "parameters"', "llama", True),
        ("{{ tools }}[TOOL_CALLS]", "mistral", True),
        ("{{ tools }}[TOOL_CALLS][ARGS]", "mistral-named", True),
        ("{{ tools }}<\uff5ctool▁call▁begin\uff5c>", "deepseek", True),
        ("{{ tools }}<\uff5ctool▁call▁begin\uff5c>```json", "deepseek-fenced", True),
        ("{{ tools }}<|start|><|channel|>", "harmony", True),
        ("<|im_start|>{{ message.content }}", "hermes", False),
        ("<tool_call> without any", "hermes", False),
        ("", "hermes", False),
    ],
)
def test_a_template_is_known_by_its_marks(template: str, name: str, native: bool) -> None:
    model = recognised(template)
    assert (model.dialect.name, model.native) == (name, native)


def test_a_control_token_may_tell_more_than_the_template() -> None:
    assert recognised("tools [TOOL_CALLS]", ["[ARGS]"]).dialect.name == "mistral-named"


def test_who_thinks_is_known_by_the_mark() -> None:
    assert recognised(QWEN).think == THINK
    assert recognised("plain").think is None
    assert [recognised(each).thinks for each in (QWEN, "plain", "<|start|><|channel|>")] == [
        True, False, True,
    ]  # fmt: skip
    assert recognised("[THINK][/THINK]").think == ("[THINK]", "[/THINK]")
    assert recognised("<|start|><|channel|></think>").think is None


def test_the_marks_of_a_model() -> None:
    assert {"<tool_call>", "</tool_call>", "<think>", "</think>"} <= set(recognised(QWEN).marks)
    assert "<|channel|>" in set(recognised("<|start|><|channel|>").marks)
    assert set(recognised("plain").marks) == set()
    assert "[ARGS]" in set(recognised("tools [TOOL_CALLS] [ARGS]").marks)
    assert "<\uff5ctool▁sep\uff5c>" in set(recognised("tools <\uff5ctool▁call▁begin\uff5c>").marks)


def test_an_answer_that_says_nothing_but_its_content_has_no_form() -> None:
    assert form(recognised("plain"), calls=False, prompt_end="x") is None
    assert form(recognised("plain"), calls=True, prompt_end="x") == Form(dialects.HERMES, True)
    thinks = recognised("<think></think>")
    said = form(thinks, calls=False, prompt_end="<|im_start|>assistant\n<think>\n")
    assert said == Form(dialects.HERMES, False, THINK, within=True)
    said = form(thinks, calls=False, prompt_end="<think>\n\n</think>\n\n")
    assert said == Form(dialects.HERMES, False, THINK)
    harmony = recognised("<|start|><|channel|>")
    assert form(harmony, calls=False, prompt_end="") == Form(dialects.HARMONY, False)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
def test_a_form_is_read_as_it_was_written(dialect: dialects.Dialect) -> None:
    for each in (Form(dialect, True), Form(dialect, False, THINK, within=True)):
        assert form_of(each.written()) == each


@pytest.mark.parametrize("written", ["", "klingon", "hermes loud", "hermes  calls"])
def test_what_is_no_form(written: str) -> None:
    with pytest.raises(ValueError, match="there is no form"):
        form_of(written)
