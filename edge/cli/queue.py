"""``elwift queue``: how busy a node is, and what became of your tasks."""

from __future__ import annotations

import argparse
from typing import Any, Final

import uvloop

from edge.cli import flags
from edge.cli.client import node_client
from edge.cli.output import harmless, say, say_json
from edge.settings import Settings

NAMES: Final = ("p50", "p95", "p99")


def add_to(levels: flags.Levels) -> None:
    """The command."""
    parser = flags.add(levels, "queue", _run, "How busy a node is, and how long tasks took.")
    flags.node_flags(parser)
    parser.add_argument("--since", metavar="TIME", help="figures from this time on (RFC 3339)")


def _run(given: argparse.Namespace, settings: flags.Load) -> int:
    return uvloop.run(_show(given, settings()))


async def _show(given: argparse.Namespace, settings: Settings) -> int:
    async with node_client(given, settings) as client:
        health = await client.call("GET", "/healthz")
        stats = await client.call("GET", "/stats", query={"since": given.since})
    if given.json:
        say_json({"health": health, "stats": stats})
        return 0
    for line in lines(health, stats):
        say(harmless(line))
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
