"""Following one task to its end on the screen, for ``run`` and ``tasks watch``."""

from __future__ import annotations

import asyncio
from typing import Any

from rich.console import Console

from edge.cli.client import NodeClient, task_path
from edge.cli.output import complain, note, say, say_json
from edge.cli.view import LiveView, PlainView, TaskView, View


def make_view() -> View:
    """A live view on a terminal, plain lines anywhere else."""
    console = Console(stderr=True)
    return LiveView(console) if console.is_terminal else PlainView()


async def follow_to_the_end(
    client: NodeClient, task_id: str, view: View, *, as_json: bool, interrupted: str
) -> int:
    """Shows the task until its end and prints its text, or the whole of it as JSON; the exit code,
    0 only when it completed. Who interrupts it is told what that means for the task."""
    state = TaskView()
    try:
        try:
            async for update in client.watch(f"task:{task_id}"):
                state.fold(update.event, update.payload)
                view.show(state)
        finally:
            view.close()
        if as_json:
            say_json(await client.call("GET", task_path(task_id)))
        elif state.text:
            say(state.text)
    except asyncio.CancelledError:
        note(interrupted)
        raise
    return _report(state)


def goes_on(client: NodeClient, task_id: str) -> str:
    """What is said to somebody who stops watching a task of a node that lives on."""
    where = f" --url {client.url}"
    return (
        f"\nthe task goes on; see it with `elwift tasks watch {task_id}{where}`,"
        f" cancel it with `elwift tasks cancel {task_id}{where}`"
    )


def _report(state: TaskView) -> int:
    result: dict[str, Any] | None = state.result
    if result is not None and state.state == "completed":
        usage, timings = result["usage"], result["timings"]
        speed = timings["tokens_per_second"]
        note(
            f"{usage['completion_tokens']} tokens"
            + (f", {speed:.0f} tokens/s" if speed else "")
            + f", first text after {timings['ttft_ms'] or 0:.0f} ms"
            + (f", answered by {result['source']}" if result["degraded"] else "")
        )
        return 0
    message = (state.error or {}).get("message", "")
    complain(f"the task was {state.state}" + (f": {message}" if message else ""))
    return 1
