"""``elwift tasks``: a node's tasks from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import uvloop

from edge.cli import flags
from edge.cli.client import NodeClient, NodeError, node_client, task_path
from edge.cli.follow import follow_to_the_end, goes_on, make_view
from edge.cli.output import harmless, note, say, say_json

TEXT_CHARS: Final = 48
FORMATS: Final = ("parquet", "csv", "json")

_Act = Callable[[argparse.Namespace, NodeClient], Awaitable[int]]


def add_to(levels: flags.Levels) -> None:
    """The command."""
    about = "List, show, watch, cancel, retry, audit and export tasks."
    level = flags.add_level(levels, "tasks", about)
    listing = _add(level, "list", _list, "List tasks, the newest first.")
    _wanted_flags(listing)
    listing.add_argument("--limit", type=int, default=20, help="at most so many (default: 20)")
    listing.add_argument("--before", metavar="TASK_ID", help="go on behind this task")
    for name, act, about in (
        ("show", _show, "Show one task."),
        ("watch", _watch, "Watch a task live until its end."),
        ("cancel", _cancel, "Cancel a task."),
        ("retry", _retry, "Run a task that has ended again."),
        ("audit", _audit, "Show what happened to a task, and why."),
    ):
        _add(level, name, act, about).add_argument("task_id", metavar="TASK_ID")
    export = _add(level, "export", _export, "Export tasks as a file; --json is --format json.")
    _wanted_flags(export)
    export.add_argument("--format", choices=FORMATS, default="json", help="(default: json)")
    export.add_argument("--output", metavar="FILE", help="write it there (default: stdout)")


def _wanted_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", help="only tasks in this state")
    parser.add_argument("--since", metavar="TIME", help="only those made from this time on")
    parser.add_argument("--until", metavar="TIME", help="and before this one (RFC 3339)")


def _add(level: flags.Levels, name: str, act: _Act, about: str) -> argparse.ArgumentParser:
    async def on_node(given: argparse.Namespace, settings: flags.Load) -> int:
        async with node_client(given, settings()) as client:
            return await act(given, client)

    parser = flags.add(
        level, name, lambda given, settings: uvloop.run(on_node(given, settings)), about
    )
    flags.node_flags(parser)
    return parser


async def _list(given: argparse.Namespace, client: NodeClient) -> int:
    query = {**_wanted(given), "limit": str(given.limit), "before": given.before}
    tasks = (await client.call("GET", "/tasks", query=query))["tasks"]
    if given.json:
        say_json(tasks)
        return 0
    for task in tasks:
        say(_line(task))
    return 0


async def _show(given: argparse.Namespace, client: NodeClient) -> int:
    task = await client.call("GET", task_path(given.task_id))
    if given.json:
        say_json(task)
        return 0
    for line in task_lines(task):
        say(line)
    return 0


async def _watch(given: argparse.Namespace, client: NodeClient) -> int:
    return await follow_to_the_end(
        client,
        given.task_id,
        make_view(),
        as_json=given.json,
        interrupted=goes_on(client, given.task_id),
    )


async def _cancel(given: argparse.Namespace, client: NodeClient) -> int:
    return _told(given, await client.call("DELETE", task_path(given.task_id)))


async def _retry(given: argparse.Namespace, client: NodeClient) -> int:
    return _told(given, await client.call("POST", task_path(given.task_id) + "/retry"))


def _told(given: argparse.Namespace, task: dict[str, Any]) -> int:
    if given.json:
        say_json(task)
    else:
        say(f"{task['task_id']}  {task['state']}")
    return 0


async def _audit(given: argparse.Namespace, client: NodeClient) -> int:
    trail = (await client.call("GET", task_path(given.task_id) + "/audit"))["audit"]
    if given.json:
        say_json(trail)
        return 0
    for row in trail:
        say(_audit_line(row))
    return 0


async def _export(given: argparse.Namespace, client: NodeClient) -> int:
    file_format = "json" if given.json else given.format
    query = {**_wanted(given), "format": file_format}
    if given.output is None:
        if file_format == "parquet" and sys.stdout.isatty():
            raise NodeError("parquet is not for the eye; name a file with --output")
        await client.download("/tasks/export", query, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
        return 0
    output = Path(given.output)
    part = output.with_name(output.name + ".part")
    try:
        with part.open("wb") as file:
            await client.download("/tasks/export", query, file.write)
        part.replace(output)
    except OSError as error:
        raise NodeError(f"cannot write {output}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    note(f"exported to {output}")
    return 0


def _wanted(given: argparse.Namespace) -> dict[str, str | None]:
    return {name: getattr(given, name) for name in ("state", "since", "until")}


def _audit_line(row: dict[str, Any]) -> str:
    change = f"{row['from_state'] or 'new'} → {row['to_state']}"
    cause = f"  {row['cause']}" if row["cause"] else ""
    return _one_line(f"{row['at']}  {row['event']:<12}  {change}{cause}")


def _line(task: dict[str, Any]) -> str:
    asked = " ".join(asked_of(task).split())
    if len(asked) > TEXT_CHARS:
        asked = asked[: TEXT_CHARS - 1] + "…"
    return _one_line(f"{task['task_id']}  {task['state']:<10}  {task['created_at']}  {asked}")


def _one_line(text: str) -> str:
    """Lists are for people, also those that go through `less` or `head` first."""
    return harmless(text).replace("\n", " ").replace("\t", " ")


def asked_of(task: dict[str, Any]) -> str:
    """What was asked: the prompt, or the last message."""
    messages = task.get("messages")
    return str(task.get("prompt") or (messages[-1]["content"] or "" if messages else ""))


def task_lines(task: dict[str, Any]) -> list[str]:
    """A task for people, its text last."""
    shown = [
        ("task", task["task_id"]),
        ("state", task["state"]),
        ("asked", _one_line(asked_of(task))),
        ("created", task["created_at"]),
        ("started", task["started_at"]),
        ("finished", task["finished_at"]),
        ("attempt", f"{task['attempt']} of {task['max_attempts']}"),
        ("place", task["position"]),
    ]
    lines = [f"{name:<10}{value}" for name, value in shown if value is not None]
    lines += [
        _one_line(f"{'error':<10}{error['at']}  {error['message']}") for error in task["errors"]
    ]
    result = task["result"]
    if result is not None:
        lines += ["", harmless(result["text"])]
    return lines
