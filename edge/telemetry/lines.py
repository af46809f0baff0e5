"""Records of the log as lines: for people, or as JSON for machines; and for systemd's journal.

One record is one line, but for the traceback of a defect, which people get below it. What a record
is about comes with it: the event and its fields, and the request that it happened in. Directories
are nobody's business who reads a log from afar: of a path its last part is told, unless a setting
says that all of it may be.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson

from edge.telemetry import context

_PRIORITIES: Final = (
    (logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6)
)  # fmt: skip
_DEBUG_PRIORITY: Final = 7

_DIRECTORIES: Final = re.compile(r"(?<![\w.:/}>*-])~?/(?:[^\s/:'\",;()\[\]]+/)+(?=[^\s/])")
"""What stands before the last part of an absolute path; not in a URL."""


def priority(level: int) -> int:
    """The level as syslog has it (RFC 5424 section 6.2.1)."""
    return next((number for least, number in _PRIORITIES if level >= least), _DEBUG_PRIORITY)


def is_journal(stream: TextIO | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether systemd's journal reads this stream, as ``JOURNAL_STREAM`` says (systemd.exec(5)).
    A process whose standard error was closed has none."""
    if stream is None:
        return False
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # it is closed, or in memory
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def without_directories(text: str) -> str:
    """The text with the last part of each absolute path alone."""
    return _DIRECTORIES.sub("", text)


class Lines(logging.Formatter):
    """For people. ``journal`` begins each line with its priority (sd-daemon(3)); ``paths`` says
    whether directories are told."""

    def __init__(self, *, journal: bool = False, paths: bool = False) -> None:
        super().__init__()
        self._journal = journal
        self._paths = paths

    def format(self, record: logging.LogRecord) -> str:
        """The record as it is to be written, without the last line's end."""
        text = self.line(record)
        if not self._journal:
            return text
        prefix = f"<{priority(record.levelno)}>"
        return "\n".join(prefix + line for line in text.split("\n"))

    def line(self, record: logging.LogRecord) -> str:
        """The same before the journal's prefix."""
        message = self.told(record.getMessage(), record)
        line = f"{record.levelname} {record.name}: {_on_one_line(message)}"
        names = _names(record)
        if names:
            line += " [" + " ".join(names.values()) + "]"
        traceback = self.traceback(record)
        return f"{line}\n{traceback}" if traceback else line

    def told(self, text: str, record: logging.LogRecord) -> str:
        """The text without what may not be told."""
        if self._paths or getattr(record, "event", "").startswith("request."):
            return text  # a route is no path of this machine's
        return without_directories(text)

    def traceback(self, record: logging.LogRecord) -> str:
        """That of the exception that the record has, or empty."""
        if not record.exc_info:
            return ""
        return self.told(self.formatException(record.exc_info), record)


class JsonLines(Lines):
    """For machines: an object a line, with ``at``, ``level``, ``logger``, ``message``, and where
    there are any ``event``, ``fields``, ``request_id``, ``task_id`` and ``traceback``."""

    def line(self, record: logging.LogRecord) -> str:
        """The record as one object."""
        at = datetime.fromtimestamp(record.created, UTC)
        said: dict[str, Any] = {
            "at": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.told(record.getMessage(), record),
        }
        event = getattr(record, "event", None)
        if event is not None:
            fields: Mapping[str, Any] = getattr(record, "fields", {})
            told = {name: self._field(value, record) for name, value in fields.items()}
            said |= {"event": event, "fields": told}
        said |= _names(record)
        traceback = self.traceback(record)
        if traceback:
            said["traceback"] = traceback
        return orjson.dumps(said, default=str).decode()

    def _field(self, value: object, record: logging.LogRecord) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.told(str(value), record)


def _names(record: logging.LogRecord) -> dict[str, str]:
    """By which the record can be found: its request's id, and its task's."""
    asked = context.asked()
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    request_id = fields.get("request_id") or (None if asked is None else asked.request_id)
    task_id = fields.get("task_id") or (None if asked is None else asked.task_id)
    names = {"request_id": request_id, "task_id": task_id}
    return {name: _on_one_line(str(value)) for name, value in names.items() if value}


def _on_one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")
