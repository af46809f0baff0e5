"""``elwift tasks``: a node's tasks from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop
from rich.console import Console

from edge.cli.client import NodeClient, NodeError, node_arguments, node_client
from edge.cli.output import note, say
from edge.cli.run import report, watch
from edge.cli.view import LiveView, PlainView, View
from edge.settings import Settings

TEXT_CHARS: Final = 48
WITH_ID: Final = ("show", "watch", "cancel", "retry", "audit")
FORMATS: Final = ("parquet", "csv", "json")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("action", choices=(*WITH_ID, "list", "export"))
    parser.add_argument("task_id", nargs="?", metavar="TASK_ID", help="not for list and export")
    node_arguments(parser)
    parser.add_argument("--state", help="list or export only tasks in this state")
    parser.add_argument("--since", metavar="TIME", help="only those made from this time on")
    parser.add_argument("--until", metavar="TIME", help="and before this one (RFC 3339)")
    parser.add_argument("--limit", type=int, default=20, help="list at most so many")
    parser.add_argument("--format", choices=FORMATS, default="json", help="of the export")
    parser.add_argument("--output", metavar="FILE", help="export into it (default: stdout)")
    parser.set_defaults(parser=parser)


def command(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    """0 when the node did it; for watch, when the task completed."""
    if given.action in WITH_ID and not given.task_id:
        given.parser.error(f"tasks {given.action} needs a TASK_ID")
    return uvloop.run(_act(given, settings()))


async def _act(given: argparse.Namespace, settings: Settings) -> int:
    async with node_client(given, settings) as client:
        path = f"/tasks/{given.task_id}"
        if given.action == "watch":
            console = Console(stderr=True)
            view: View = LiveView(console) if console.is_terminal else PlainView(console)
            return report(await watch(client, f"task:{given.task_id}", view), print_text=True)
        if given.action == "list":
            query = {**_wanted(given), "limit": str(given.limit)}
            for task in (await client.call("GET", "/tasks", query=query))["tasks"]:
                say(_line(task))
        elif given.action == "export":
            await _export(given, client)
        elif given.action == "audit":
            for row in (await client.call("GET", path + "/audit"))["audit"]:
                say(_audit_line(row))
        elif given.action == "show":
            _show(await client.call("GET", path))
        elif given.action == "cancel":
            _show(await client.call("DELETE", path))
        else:
            _show(await client.call("POST", path + "/retry"))
    return 0


def _wanted(given: argparse.Namespace) -> dict[str, str | None]:
    return {name: getattr(given, name) for name in ("state", "since", "until")}


async def _export(given: argparse.Namespace, client: NodeClient) -> None:
    query = {**_wanted(given), "format": given.format}
    if given.output is None:
        if given.format == "parquet" and sys.stdout.isatty():
            raise NodeError("parquet is not for the eye; name a file with --output")
        await client.download("/tasks/export", query, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
        return
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


def _audit_line(row: dict[str, Any]) -> str:
    change = f"{row['from_state'] or 'new'} → {row['to_state']}"
    cause = f"  {row['cause']}" if row["cause"] else ""
    return f"{row['at']}  {row['event']:<12}  {change}{cause}"


def _line(task: dict[str, Any]) -> str:
    asked = task.get("prompt") or task["messages"][-1]["content"]
    asked = " ".join(asked.split())
    if len(asked) > TEXT_CHARS:
        asked = asked[: TEXT_CHARS - 1] + "…"
    return f"{task['task_id']}  {task['state']:<10}  {task['created_at']}  {asked}"


def _show(task: object) -> None:
    say(orjson.dumps(task, option=orjson.OPT_INDENT_2).decode())
