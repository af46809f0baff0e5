"""The chat template and its rendering: one text for training, export and use.

The template travels inside the GGUF. `render` is its plain Python twin; a test holds the two
equal, so what the model is trained on is what a chat request is rendered to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
# Order is their ids: the tokenizer puts them first.
SPECIAL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END)

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim"
    " + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)

Role = Literal["system", "user", "assistant"]


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Role
    content: str


def render(messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
    """Return the conversation exactly as `CHAT_TEMPLATE` renders it."""
    turns = [f"{TURN_START}{m.role}\n{m.content.strip()}{TURN_END}\n" for m in messages]
    if add_generation_prompt:
        turns.append(f"{TURN_START}assistant\n")
    return "".join(turns)


def prompt_text(user: str, system: str = "") -> str:
    """Return the text that a model continues with its answer to one user message."""
    messages = [Message("user", user)]
    if system:
        messages.insert(0, Message("system", system))
    return render(messages, add_generation_prompt=True)
