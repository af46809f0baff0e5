"""``elwift run``: one prompt as a task, shown live, its text on standard output."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import uvloop

from edge.cli import flags
from edge.cli.client import NodeClient, local_url, named_url, token_of
from edge.cli.follow import follow_to_the_end, goes_on, make_view
from edge.cli.prompt import body_of, read_prompt
from edge.cli.view import View
from edge.errors import SettingsError
from edge.settings import Settings

_OPTIONS: Final = ("max_tokens", "temperature", "seed")
_OF_A_NODE: Final = ("data-dir", "slots", "context", "threads")
"""Flags that say how to start a node, and nothing to one that runs."""


def add_to(levels: flags.Levels) -> None:
    """The command."""
    about = "Submit a prompt and watch it live; without a node, one is started for the occasion."
    parser = flags.add(levels, "run", _command, about)
    parser.add_argument(
        "prompt", nargs="*", metavar="PROMPT", help="the prompt; - stands for standard input"
    )
    parser.add_argument("--system", metavar="TEXT", help="what the model is told beforehand")
    parser.add_argument("--max-tokens", type=int, help="longest output, in tokens")
    parser.add_argument("--temperature", type=float, help="0 is greedy")
    parser.add_argument("--seed", type=int, help="the same seed gives the same choice of words")
    flags.node_flags(parser)
    flags.settings_flags(parser, "model", *_OF_A_NODE)


def _command(given: argparse.Namespace, settings: flags.Load) -> int:
    """0 only when the task completed."""
    body = body_of(read_prompt(given.prompt, sys.stdin), given.system)
    for name in _OPTIONS:
        if getattr(given, name) is not None:
            body[name] = getattr(given, name)
    return uvloop.run(_run(given, settings(), body))


async def _run(given: argparse.Namespace, settings: Settings, body: dict[str, Any]) -> int:
    view = make_view()
    async with AsyncExitStack() as stack:
        client = await _running_node(given, settings, view, stack)
        own = client is None
        if client is None:
            client = await _own_node(settings, view, stack)
        elif settings.model.name and not _is_path(settings.model.name):
            body["model"] = settings.model.name
        accepted = await client.call("POST", "/tasks", body)
        task_id = accepted["task_id"]
        view.say(f"task {task_id} accepted")
        interrupted = "\nthe node was there for this task alone, and ends with it"
        return await follow_to_the_end(
            client,
            task_id,
            view,
            as_json=given.json,
            interrupted=interrupted if own else goes_on(client, task_id),
        )


async def _running_node(
    given: argparse.Namespace, settings: Settings, view: View, stack: AsyncExitStack
) -> NodeClient | None:
    """The node that was named, or else the local one if it runs the model that is wanted; None,
    and the reason was said, when the task needs a node of its own."""
    named = named_url(given)
    url = named or local_url(settings.server)
    client = await stack.enter_async_context(NodeClient(url, token_of(given)))
    if named is None:
        said = await client.look()
        wanted = settings.model.name
        if said is None:
            view.say("no node is running; starting one for the occasion")
            return None
        # A node that does not tell this client what it runs says so when it refuses the task.
        runs = said.get("model", "another model" if _is_path(wanted) else wanted)
        if wanted and runs != wanted:
            view.say(f"the node at {url} runs {runs}, not {wanted}; starting one for the occasion")
            return None
    unused = [f"--{flag}" for flag in _OF_A_NODE if flags.value_of(given, flag) is not None]
    if unused:
        view.say(f"{', '.join(unused)}: of no effect, since the node at {url} runs already")
    return client


def _own_models(settings: Settings) -> Path | None:
    """The data directory; None for a user without a home, who has no models of their own."""
    try:
        return settings.data_dir()
    except SettingsError:
        if settings.data.dir:
            raise
        return None


def _is_path(model: str) -> bool:
    return model.endswith(".gguf") or Path(model).name != model


async def _own_node(settings: Settings, view: View, stack: AsyncExitStack) -> NodeClient:
    """A node for the occasion, which ends with the stack."""
    # Where a node runs already, half of the time that this command takes would be this import's.
    from edge.inference import resolve
    from edge.node import Node

    # Its database goes with it, but the user's own models are there.
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="elwift-"))
    model = resolve(settings.model.name, _own_models(settings) or Path(folder))
    settings.model.name = str(model.path)
    # No other task will share the model: all its room can go to this one.
    settings.model.slots = 1
    settings.data.dir = folder
    # Whatever the settings say of the node that serves: this one is for nobody else.
    settings.server.host = "127.0.0.1"
    settings.server.port = 0
    settings.server.tokens = {}
    settings.server.hosts = []
    settings.server.origins = []
    # Whoever runs one prompt would rather hear why the model does not work.
    settings.fallback.enabled = False
    node = Node(settings)
    started = await node.start()
    stack.push_async_callback(node.stop, drain=False)
    view.say(f"node ready, model {model.name}")
    return await stack.enter_async_context(NodeClient(started.url))
