"""How a task is shown while it runs: live in a terminal, in plain lines anywhere else."""

from __future__ import annotations

import time
from typing import Any, Protocol

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edge.cli.output import harmless, note


def how_long(eta_ms: int | None, waits_for: str | None = None) -> str:
    """An estimated wait, in words; ``waits_for`` is what else is waited for, as the node says."""
    if eta_ms is None:
        return waits_for or "the queue is paused"
    about = f"about {eta_ms / 1000:.1f} s to wait"
    return f"{about}, {waits_for}" if waits_for else about


class View(Protocol):
    """Shows one task."""

    def say(self, line: str) -> None:
        """A sentence about what is going on."""
        ...

    def show(self, state: TaskView) -> None:
        """The task as it is now."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class TaskView:
    """What has been seen of a task so far, folded from its channel's events."""

    def __init__(self) -> None:
        self.state = "submitted"
        self.note = ""
        self.text = ""
        self.tokens = 0
        self.progress = 0.0
        self.result: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None
        self.fallback: dict[str, Any] | None = None
        self._first_s: float | None = None
        self._first_tokens = 0

    def fold(self, event: str, payload: dict[str, Any]) -> None:
        """One event of the channel."""
        if event == "joined":
            document = payload["task"]
            self.state = document["state"]
            self.text = self.text[: payload["offset"]] + payload["delta"]
            self.result = document["result"]
            self.fallback = document["fallback"]
            if document["errors"] and self.state == "discarded":
                self.error = document["errors"][-1]
        elif event == "queued":
            self.state = "queued"
            wait = how_long(payload["eta_ms"], payload.get("waits_for"))
            self.note = f"place {payload['position']}, {wait}"
        elif event == "progress":
            self.state = payload["state"]
            reading = payload["phase"] == "prefill"
            self.note = "reading the prompt" if reading else self._degraded()
            self.text = self.text[: payload["offset"]] + payload["delta"]
            self.progress = payload["progress"]
            self._count(payload["tokens"])
        elif event == "rewind":
            self.text = self.text[: payload["offset"]]
            if self.fallback and self.fallback["offset"] >= payload["offset"]:
                self.fallback = None
        elif event == "fallback":
            self.fallback = payload
            self.note = self._degraded()
        elif event == "retrying":
            self.state = "retrying"
            self.note = payload["error"]["message"]
        elif event == "completed":
            self.state, self.result, self.note = "completed", payload["result"], ""
        elif event in ("failed", "cancelled"):
            self.state, self.error = event, payload.get("error")

    def _degraded(self) -> str:
        return f"degraded: answered by {self.fallback['source']}" if self.fallback else ""

    def _count(self, tokens: int) -> None:
        if self._first_s is None and tokens:
            self._first_s, self._first_tokens = time.monotonic(), tokens
        self.tokens = tokens

    @property
    def tokens_per_second(self) -> float | None:
        """Measured here, between the first and the latest update."""
        if self._first_s is None or self.tokens <= self._first_tokens:
            return None
        return (self.tokens - self._first_tokens) / max(1e-6, time.monotonic() - self._first_s)


class LiveView:
    """A terminal: the end of the text as it grows, under it a bar with state and speed.

    What is drawn is always less than a screen, so it can be drawn over: a line that had left the
    screen could not, and would stand in the scrollback once for each time. The whole text is
    printed once, at the end, by who follows the task.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def say(self, line: str) -> None:
        self._console.print(
            harmless(line), style="dim", highlight=False, markup=False, soft_wrap=True
        )

    def show(self, state: TaskView) -> None:
        if self._live is None:
            self._live = Live(
                console=self._console, transient=True, refresh_per_second=15,
                vertical_overflow="crop",
            )  # fmt: skip
            self._live.start()
        self._live.update(_picture(state, self._console))

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _picture(state: TaskView, console: Console) -> Group:
    status = Table.grid(padding=(0, 1))
    speed = state.tokens_per_second
    status.add_row(
        Text(state.state, style="bold"),
        ProgressBar(total=1.0, completed=state.progress, width=30),
        Text(f"{state.tokens} tokens" + (f", {speed:.0f}/s" if speed else "")),
        Text(harmless(state.note), style="dim"),
    )
    # The bar may need a second line on a narrow terminal, and the cursor has one of its own.
    lines = last_lines(harmless(state.text), console.width, max(1, console.height - 3))
    return Group(*(Text(line, no_wrap=True) for line in lines), status)


def last_lines(text: str, width: int, lines_max: int) -> list[str]:
    """The end of the text as a terminal of this width shows it, at most so many lines."""
    width = max(2, width)
    # No more of it than could be shown is looked at: this runs at every update of a long text.
    lines: list[str] = []
    for line in text[-(width * lines_max) :].expandtabs(8).split("\n"):
        lines += _folded(line, width)
    return lines[-lines_max:]


def _folded(line: str, width: int) -> list[str]:
    """The line in pieces of at most this many cells; a character may have two."""
    pieces, piece, cells = [], "", 0
    for character in line:
        size = cell_len(character)
        if cells + size > width:
            pieces.append(piece)
            piece, cells = "", 0
        piece += character
        cells += size
    return [*pieces, piece]


class PlainView:
    """No terminal: one line whenever the state or the place changes."""

    def __init__(self) -> None:
        self._last = ""

    def say(self, line: str) -> None:
        note(line)

    def show(self, state: TaskView) -> None:
        line = state.state + (f": {state.note}" if state.note else "")
        if line != self._last:
            self._last = line
            self.say(line)

    def close(self) -> None:
        """Every line is out already."""
