"""The chat template: one text in training and in use."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.train.chat import CHAT_TEMPLATE, Message, Role, prompt_text, render

roles: st.SearchStrategy[Role] = st.sampled_from(("system", "user", "assistant"))
messages = st.lists(st.builds(Message, role=roles, content=st.text()), max_size=5)
template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(
    CHAT_TEMPLATE
)


@given(messages, st.booleans())
def test_the_template_renders_what_training_renders(
    conversation: list[Message], prompted: bool
) -> None:
    rendered = template.render(
        messages=[message._asdict() for message in conversation], add_generation_prompt=prompted
    )
    assert rendered == render(conversation, add_generation_prompt=prompted)


def test_a_request_opens_the_answer() -> None:
    assert prompt_text("A fox.") == ("<|im_start|>user\nA fox.<|im_end|>\n<|im_start|>assistant\n")
