"""A model's chat template, and the program that renders it in a process of its own.

A template is a Jinja program out of a file from anywhere. Jinja's sandbox keeps it from the
machine, but not from running for ever or from eating all memory, so it runs as
``python -m edge.engine.template``, where the system sees to both. `Renderer` is the other end.

Both ways a line of JSON a message: first the template with the texts of the special tokens and of
the control tokens, then each time the messages, what else the template may ask for and the
stand-ins in them. Every line is answered, with a text or an error. The environment is the one that
`apply_chat_template` of transformers has.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import jinja2
import orjson
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from edge.clock import NS_PER_S, SystemClock
from edge.engine.lookups import Lookups
from edge.engine.shield import Shield
from edge.errors import InvalidRequest

MEMORY_BYTES_MAX: Final = 512 * 1024 * 1024
"""Of address space, of which Python and Jinja themselves take some 30 MiB. macOS does not heed it;
there the limit of time is one of memory, too."""
CPU_S_MAX: Final = 2
"""For one rendering. A thousand messages take some 20 ms; what takes longer does not end."""
TEXT_CHARS_MAX: Final = 1_048_576
"""Of what a template may write beyond twice the contents, which some write two times."""
SENTENCE_CHARS_MAX: Final = 300
"""Of what it may say when it refuses."""

_CLOCK: Final = SystemClock()


class _Generation(Extension):
    """``{% generation %}``: training asks what of the text is the model's; it is written as is."""

    tags = {"generation"}  # noqa: RUF012  # Jinja's own name for it, which it only reads

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Template:
    """A chat template. ``broken`` says why it cannot be used, if it cannot. `special` are the
    texts of the special tokens by their names in a template, such as ``bos_token``; `controls` are
    those of the control tokens, which it may look for in a message."""

    def __init__(
        self,
        source: str,
        special: Mapping[str, str] | None = None,
        controls: Iterable[str] = (),
    ) -> None:
        self._special = dict(special or {})
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=("jinja2.ext.loopcontrols", _Generation),
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        self.broken = ""
        self._lookups = Lookups(environment, Shield(controls, source))
        try:
            tree = environment.parse(source)
            self._template = environment.from_string(self._lookups.found(tree))
        except Exception as error:  # a foreign program may be anything, and nested without end
            self.broken = _sentence(error)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        variables: Mapping[str, Any] | None = None,
        stand_ins: Mapping[str, str] | None = None,
    ) -> str:
        """The text of these messages, ready for an answer. `variables` are what else the template
        sees, such as ``tools``; `stand_ins` are those that the texts have (`Shielded`).
        `InvalidRequest` when it refuses them or cannot be used."""
        if self.broken:
            sentence = f"the model's chat template is broken ({self.broken}); use another model"
            raise _refused(sentence)
        given = {
            "tools": None, "documents": None, "add_generation_prompt": True, **self._special,
            **(variables or {}), "messages": messages,
        }  # fmt: skip
        self._lookups.use(stand_ins or {})
        chars_max = TEXT_CHARS_MAX + 2 * sum(len(str(each.get("content"))) for each in messages)
        try:
            chunks: list[str] = []
            left = chars_max
            for chunk in self._template.generate(given):
                chunks.append(chunk)
                left -= len(chunk)
                if left < 0:
                    raise ValueError(f"it writes more than {chars_max} characters")
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


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own writes \\u003c for <, which is for pages and not what models were trained with.
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


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
            _answer({"text": template.render(*orjson.loads(line))})
        except InvalidRequest as error:
            _answer({"error": str(error)})
        except MemoryError:
            _answer({"error": "the model's chat template writes more than there is memory for"})
        except orjson.JSONEncodeError as error:
            _answer({"error": f"the model's chat template writes what is no text: {error}"})


if __name__ == "__main__":
    main()
