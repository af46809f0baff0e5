"""Where the command line's words go: results to standard output, all else to standard error.

Texts come from anybody: a prompt, a model, another client's metadata. None of them may drive the
terminal (move its cursor, set its title, hide a line), so for people control characters are written
as escapes. What goes into a file or another program is left as it is.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from typing import Final, TextIO

import orjson

# C0 but tab and line feed, DEL, C1 (a terminal takes U+009B for ESC [), line and paragraph
# separators, and what turns the direction of the text around it (Unicode TR 36, section 2.8).
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_NOT_ASCII: Final = re.compile("[^\x00-\x7e]")


def prepare() -> None:
    """Makes the standard streams safe to use. First of all in a process.

    A descriptor below 3 that is closed would be given to the next file that is opened, such as the
    database, and whatever a library says to "standard error" would be written into that. And what
    a stream's encoding lacks is written as escapes: an answer that took a minute must not be lost
    to a terminal that knows only ASCII."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def harmless(text: str) -> str:
    """The text for a terminal: control characters but tab and line feed as escapes (``\\x1b``)."""
    return _CONTROLS.sub(_escape, text.replace("\r\n", "\n"))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def say(line: str = "") -> None:
    """A result: one line or more. On a terminal it is made `harmless`. BrokenPipeError when who
    read it has had enough; without a standard output nothing happens."""
    out = sys.stdout
    if out is not None:
        out.write((harmless(line) if out.isatty() else line) + "\n")
        out.flush()


def say_json(value: object, *, indent: bool = True) -> None:
    """A result as JSON. Its texts are harmless everywhere, since JSON has escapes of its
    own for what a terminal would obey, and for what an encoding does not know."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else None).decode()
    only_ascii = not _writes_unicode(sys.stdout)
    say((_NOT_ASCII if only_ascii else _CONTROLS).sub(_json_escape, text))


def _writes_unicode(out: TextIO | None) -> bool:
    return out is None or (out.encoding or "").lower().startswith("utf")


def _json_escape(match: re.Match[str]) -> str:
    # Two escapes for a character beyond the first plane (RFC 8259, section 7).
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def note(line: str) -> None:
    """One line about what is going on. Who cannot be told is not told: a terminal that has gone
    away must not keep a node from stopping in order."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(harmless(line) + "\n")
            sys.stderr.flush()


def complain(line: str) -> None:
    """What went wrong, and the way out."""
    note(f"elwift: {line}")


def end_quietly() -> None:
    """Nobody reads standard output any more: what is left in it goes nowhere, or the interpreter
    would complain of it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
