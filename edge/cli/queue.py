"""``elwift queue``: how busy a node is, and what became of your tasks."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import uvloop

from edge.cli.client import node_arguments, node_client
from edge.cli.output import say
from edge.settings import Settings

NAMES = ("p50", "p95", "p99")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    node_arguments(parser)
    parser.add_argument("--since", metavar="TIME", help="figures from this time on (RFC 3339)")


def command(given: argparse.Namespace, settings: Callable[[], Settings]) -> int:
    """0 when the node answers."""
    return uvloop.run(_show(given, settings()))


async def _show(given: argparse.Namespace, settings: Settings) -> int:
    async with node_client(given, settings) as client:
        health = await client.call("GET", "/healthz")
        stats = await client.call("GET", "/stats", query={"since": given.since})
    for line in lines(health, stats):
        say(line)
    return 0


def lines(health: dict[str, Any], stats: dict[str, Any]) -> list[str]:
    """What is shown."""
    shown = [
        f"engine    {health['engine']}, model {health['model']}",
        f"running   {health['running']} of {health['slots']} slots",
        f"waiting   {health['queued']}",
    ]
    if not health["durable"]:
        shown.append("database  refuses to write; tasks live in memory alone")
    if health["quarantined"]:
        shown.append(f"database  the old one could not be read; kept as {health['quarantined']}")
    ended = ", ".join(f"{count} {state}" for state, count in stats["ended"].items())
    shown.append(f"ended     {ended} since {stats['since']}")
    for name, title in (("wait_ms", "wait"), ("duration_ms", "duration")):
        values = stats[name]
        if values is not None:
            cells = ", ".join(f"{each} {values[each]:.0f} ms" for each in NAMES)
            shown.append(f"{title:<10}{cells}")
    return shown
