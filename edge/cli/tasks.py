"""``elwift tasks``: a node's tasks from the command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

import orjson
import uvloop
from rich.console import Console

from edge.cli.client import NodeClient
from edge.cli.output import say
from edge.cli.run import report, watch
from edge.cli.view import LiveView, PlainView, View
from edge.settings import Settings

TEXT_CHARS = 48


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("action", choices=("list", "show", "watch", "cancel", "retry"))
    parser.add_argument("task_id", nargs="?", metavar="TASK_ID", help="not needed to list")
    parser.add_argument("--url", help="the node (default: $ELWIFT_URL, else the local one)")
    parser.add_argument("--token", help="the token, if the node wants one (default: $ELWIFT_TOKEN)")
    parser.add_argument("--state", help="list only tasks in this state")
    parser.add_argument("--limit", type=int, default=20, help="list at most so many")
    parser.set_defaults(parser=parser)


def command(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    """0 when the node did it; for watch, when the task completed."""
    if given.action != "list" and not given.task_id:
        given.parser.error(f"tasks {given.action} needs a TASK_ID")
    return uvloop.run(_act(given, settings()))


async def _act(given: argparse.Namespace, settings: Settings) -> int:
    url = given.url or os.environ.get("ELWIFT_URL") or f"http://127.0.0.1:{settings.server.port}"
    async with NodeClient(url, given.token or os.environ.get("ELWIFT_TOKEN")) as client:
        path = f"/tasks/{given.task_id}"
        if given.action == "watch":
            console = Console(stderr=True)
            view: View = LiveView(console) if console.is_terminal else PlainView(console)
            return report(await watch(client, f"task:{given.task_id}", view), print_text=True)
        if given.action == "list":
            query = f"?limit={given.limit}" + (f"&state={given.state}" if given.state else "")
            for task in (await client.call("GET", "/tasks" + query))["tasks"]:
                say(_line(task))
        elif given.action == "show":
            _show(await client.call("GET", path))
        elif given.action == "cancel":
            _show(await client.call("DELETE", path))
        else:
            _show(await client.call("POST", path + "/retry"))
    return 0


def _line(task: dict[str, Any]) -> str:
    asked = task.get("prompt") or task["messages"][-1]["content"]
    asked = " ".join(asked.split())
    if len(asked) > TEXT_CHARS:
        asked = asked[: TEXT_CHARS - 1] + "…"
    return f"{task['task_id']}  {task['state']:<10}  {task['created_at']}  {asked}"


def _show(task: object) -> None:
    say(orjson.dumps(task, option=orjson.OPT_INDENT_2).decode())
