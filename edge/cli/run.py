"""``elwift run``: one prompt as a task, shown live, its text on standard output."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import orjson
import uvloop
from rich.console import Console

from edge.cli.client import NodeClient
from edge.cli.output import complain, say
from edge.cli.view import LiveView, PlainView, TaskView, View
from edge.inference import resolve
from edge.node import Node
from edge.settings import Settings


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("prompt", metavar="PROMPT")
    parser.add_argument("--url", help="the node (default: $ELWIFT_URL, else the local one)")
    parser.add_argument("--token", help="the token, if the node wants one (default: $ELWIFT_TOKEN)")
    parser.add_argument("--json", action="store_true", help="print the whole task as JSON")
    parser.add_argument("--max-tokens", type=int, help="longest output, in tokens")
    parser.add_argument("--temperature", type=float, help="0 is greedy")
    parser.add_argument("--seed", type=int, help="the same seed gives the same choice of words")


def command(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    """0 only when the task completed."""
    return uvloop.run(_run(given, settings()))


async def _run(given: argparse.Namespace, settings: Settings) -> int:
    console = Console(stderr=True)
    view: View = LiveView(console) if console.is_terminal else PlainView(console)
    async with AsyncExitStack() as stack:
        client = await _find_node(given, settings, view, stack)
        body: dict[str, Any] = {"prompt": given.prompt}
        for name in ("max_tokens", "temperature", "seed"):
            if getattr(given, name) is not None:
                body[name] = getattr(given, name)
        accepted = await client.call("POST", "/tasks", body)
        view.say(f"task {accepted['task_id']} accepted")
        state = await watch(client, accepted["topic"], view)
        if given.json:
            task = await client.call("GET", f"/tasks/{accepted['task_id']}")
            say(orjson.dumps(task, option=orjson.OPT_INDENT_2).decode())
    return report(state, print_text=not given.json)


async def watch(client: NodeClient, topic: str, view: View) -> TaskView:
    """Follows a task to its end."""
    state = TaskView()
    try:
        async for update in client.watch(topic):
            state.fold(update.event, update.payload)
            view.show(state)
    finally:
        view.close()
    return state


def report(state: TaskView, *, print_text: bool) -> int:
    """Prints the end of a task; the exit code."""
    if print_text and state.text:
        say(state.text)
    if state.result is not None and state.state == "completed":
        usage, timings = state.result["usage"], state.result["timings"]
        speed = timings["tokens_per_second"]
        Console(stderr=True).print(
            f"{usage['completion_tokens']} tokens"
            + (f", {speed:.0f} tokens/s" if speed else "")
            + f", first text after {timings['ttft_ms'] or 0:.0f} ms"
            + (f", answered by {state.result['source']}" if state.result["degraded"] else ""),
            style="dim",
            highlight=False,
        )
        return 0
    message = (state.error or {}).get("message", "")
    complain(f"the task was {state.state}" + (f": {message}" if message else ""))
    return 1


async def _find_node(
    given: argparse.Namespace, settings: Settings, view: View, stack: AsyncExitStack
) -> NodeClient:
    """The node that was named, else the local one, else an own one that ends with the stack."""
    named = given.url or os.environ.get("ELWIFT_URL")
    token = given.token or os.environ.get("ELWIFT_TOKEN")
    local = f"http://127.0.0.1:{settings.server.port or 4000}"
    client = await stack.enter_async_context(NodeClient(named or local, token))
    # A model asked for by name wants a node that runs it, which the local one may not.
    if named or (not settings.model.name and await client.reachable()):
        return client
    view.say("no node is running; starting one for the occasion")
    # Its database goes with it, but the user's own models are there.
    model = resolve(settings.model.name, settings.data_dir())
    settings.model.name = str(model.path)
    # No other task will share the model: all its room can go to this one.
    settings.model.slots = 1
    settings.data.dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="elwift-"))
    settings.server.port = 0
    settings.server.tokens = {}
    # Whoever runs one prompt would rather hear why the model does not work.
    settings.fallback.enabled = False
    node = Node(settings)
    started = await node.start()
    stack.push_async_callback(node.stop, drain=False)
    view.say(f"node ready, model {model.name}")
    return await stack.enter_async_context(NodeClient(started.url))
