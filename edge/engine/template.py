"""A model's chat template, and the program that renders it in a process of its own.

A template is a Jinja program out of a file from anywhere. Jinja's sandbox keeps it from the
machine, but not from running for ever or from eating all memory, so it runs as
``python -m edge.engine.template``, where the system sees to both. `Renderer` is the other end.

Both ways a line of JSON a message: first the template with the texts of its two special tokens,
then each time the roles of the messages. Every line is answered, with a text or an error.
"""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import jinja2
import orjson
from jinja2.sandbox import ImmutableSandboxedEnvironment

from edge.clock import NS_PER_S, SystemClock
from edge.errors import InvalidRequest

MEMORY_BYTES_MAX: Final = 512 * 1024 * 1024
"""Of address space, of which Python and Jinja themselves take some 30 MiB. macOS does not heed it;
there the limit of time is one of memory, too."""
CPU_S_MAX: Final = 2
"""For one rendering. A thousand messages take some 20 ms; what takes longer does not end."""
TEXT_CHARS_MAX: Final = 1_048_576
"""Of what a template may write itself. Contents are marks in it: `MARK`."""
SENTENCE_CHARS_MAX: Final = 300
"""Of what it may say when it refuses."""

MARK: Final = re.compile("\ue000([0-9]{1,6})\ue001")
"""Stands for the content of the message with this number."""

_CLOCK: Final = SystemClock()


class Template:
    """A chat template. ``broken`` says why it cannot be used, if it cannot."""

    def __init__(self, source: str, bos: str = "", eos: str = "") -> None:
        self._tokens = {"bos_token": bos, "eos_token": eos}
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        self.broken = ""
        try:
            self._template = environment.from_string(source)
        except Exception as error:  # a foreign program may be anything, and nested without end
            self.broken = _sentence(error)

    def render(self, roles: Sequence[str]) -> str:
        """The text around messages of these roles, ready for an answer, with a mark in place of
        each content. `InvalidRequest` when the template refuses them or cannot be used."""
        if self.broken:
            sentence = f"the model's chat template is broken ({self.broken}); use another model"
            raise _refused(sentence)
        marked = [
            {"role": role, "content": f"\ue000{number}\ue001"} for number, role in enumerate(roles)
        ]
        try:
            stream = self._template.generate(
                messages=marked, add_generation_prompt=True, **self._tokens
            )
            chunks: list[str] = []
            left = TEXT_CHARS_MAX
            for chunk in stream:
                chunks.append(chunk)
                left -= len(chunk)
                if left < 0:
                    raise ValueError(f"it writes more than {TEXT_CHARS_MAX} characters")
        except MemoryError as error:
            raise _refused("the model's chat template needs too much memory") from error
        except Exception as error:  # a foreign program may raise anything
            raise _refused(
                f"the model's chat template refuses these messages: {_sentence(error)}"
            ) from error
        return "".join(chunks)


def _refused(sentence: str) -> InvalidRequest:
    return InvalidRequest(sentence, field="messages")


def _sentence(error: Exception) -> str:
    return str(error)[:SENTENCE_CHARS_MAX] or type(error).__name__


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    # The clock's bounds: beyond the year 9999 the machine's own time is none for Python.
    return datetime.fromtimestamp(_CLOCK.wall_ns() // NS_PER_S).astimezone().strftime(pattern)


# ---- the program


def _limit_memory() -> None:
    with contextlib.suppress(ValueError, OSError):  # a system that knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))


def _limit_time() -> None:
    """From now on. Even if nobody waits any more, because the engine is gone, it ends."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    # Whole seconds: rounded up, so that a rendering has at least what it may use.
    until_s = int(usage.ru_utime + usage.ru_stime) + 1 + CPU_S_MAX
    _, hard_s = resource.getrlimit(resource.RLIMIT_CPU)
    with contextlib.suppress(ValueError):  # this process has less time left than that anyway
        resource.setrlimit(resource.RLIMIT_CPU, (until_s, hard_s))


def _answer(document: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(document) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Until its input ends."""
    _limit_memory()
    _limit_time()
    lines = sys.stdin.buffer
    template = Template(*orjson.loads(lines.readline()))
    _answer({})
    for line in lines:
        _limit_time()
        try:
            _answer({"text": template.render(orjson.loads(line))})
        except InvalidRequest as error:
            _answer({"error": str(error)})
        except MemoryError:
            _answer({"error": "the model's chat template writes more than there is memory for"})
        except orjson.JSONEncodeError as error:
            _answer({"error": f"the model's chat template writes what is no text: {error}"})


if __name__ == "__main__":
    main()
