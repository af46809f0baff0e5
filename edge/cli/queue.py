"""``elwift queue``: who runs and who waits, live, how busy a node is, and what became of your
tasks; ``elwift queue pause`` and ``resume``."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any, Final

import uvloop
from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from edge.cli import flags
from edge.cli.client import NodeClient, NodeError, Refused, node_client
from edge.cli.output import harmless, say, say_json
from edge.settings import Settings

NAMES: Final = ("p50", "p95", "p99")
LOOK_S: Final = 1.0
"""How often the node is asked while it is shown live."""
ROWS_MAX: Final = 100
"""As many as the node says at a time."""
NAME_CELLS: Final = 24
TITLES: Final = ("place", "task", "client", "priority", "since", "to wait", "tokens")


def add_to(levels: flags.Levels) -> None:
    """The command."""
    about = "Who runs and who waits, live; how long tasks took. Pause the queue, and resume it."
    parser = flags.add(levels, "queue", _run, about)
    parser.add_argument(
        "action",
        nargs="?",
        choices=("pause", "resume"),
        help="give no more turns until the queue is resumed or the node is started anew; go on",
    )
    flags.node_flags(parser)
    parser.add_argument("--since", metavar="TIME", help="figures from this time on (RFC 3339)")
    parser.add_argument(
        "--once", action="store_true", help="print it once; so it is anyway without a terminal"
    )


def _run(given: argparse.Namespace, settings: flags.Load) -> int:
    return uvloop.run(_act(given, settings()))


async def _act(given: argparse.Namespace, settings: Settings) -> int:
    async with node_client(given, settings) as client:
        if given.action is not None:
            return _told(given, await client.call("POST", f"/queue/{given.action}"))
        console = Console()
        if console.is_terminal and not (given.once or given.json):
            return await _watch(given, client, console)
        told = await _ask(given, client)
    if given.json:
        say_json(told)
        return 0
    for line in shown(told):
        say(line)
    return 0


def _told(given: argparse.Namespace, totals: dict[str, Any]) -> int:
    if given.json:
        say_json(totals)
    else:
        word = "is paused" if totals["paused"] else "goes on"
        say(f"the queue {word}: {totals['running']} tasks run, {totals['waiting']} wait")
    return 0


async def _ask(given: argparse.Namespace, client: NodeClient) -> dict[str, Any]:
    """All that is shown."""
    stats = await client.call("GET", "/stats", query={"since": given.since})
    return {"stats": stats} | await _ask_now(client)


async def _ask_now(client: NodeClient) -> dict[str, Any]:
    """What changes while one looks."""
    return {
        "health": await client.call("GET", "/healthz"),
        "queue": await client.call("GET", "/queue", query={"limit": str(ROWS_MAX)}),
    }


async def _watch(given: argparse.Namespace, client: NodeClient, console: Console) -> int:
    """Until it is interrupted; a node that was there once may go away and come back."""
    told = await _ask(given, client)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        trouble = ""
        while True:
            live.update(picture([*shown(told), trouble], console.width, console.height))
            live.refresh()
            await asyncio.sleep(LOOK_S)
            try:
                # The figures of the past are a look through the history: once is enough.
                told |= await _ask_now(client)
                trouble = ""
            except Refused:
                raise
            except NodeError as error:
                trouble = f"{error} (trying again)"


def picture(lines: Sequence[str], width: int, height: int) -> Group:
    """As many of the lines as a screen has, each cut where it ends: what does not fit could not be
    drawn over."""
    fitting = lines[: max(1, height - 1)]
    return Group(*(Text(set_cell_size(line, min(cell_len(line), width))) for line in fitting))


def shown(told: dict[str, Any]) -> list[str]:
    """All of it as lines, each harmless to a terminal."""
    return [one_line(line) for line in lines(told["health"], told["stats"])] + table(told["queue"])


def one_line(text: str) -> str:
    """Somebody else's text within a line of ours."""
    return harmless(text).replace("\n", " ").replace("\t", " ")


def table(queue: dict[str, Any]) -> list[str]:
    """Who runs and who waits, below one another."""
    about = []
    if queue["paused"]:
        about.append("paused    tasks are accepted and wait; go on with `elwift queue resume`")
    else:
        wait = seconds(queue["eta_ms"])
        speed = queue["tokens_per_second"]
        about.append(f"speed     {speed} tokens/s; a task that comes now waits {wait}")
    rows = [[one_line(cell) for cell in _cells(row)] for row in queue["tasks"]]
    if not rows:
        return about
    sizes = [max(map(cell_len, column)) for column in zip(TITLES, *rows, strict=True)]
    listed = ("  ".join(map(set_cell_size, cells, sizes)).rstrip() for cells in (TITLES, *rows))
    more = queue["running"] + queue["waiting"] - len(rows)
    return [*about, "", *listed, *([f"and {more} more"] if more > 0 else [])]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    whose = row["client"] or ""
    if row["user"] is not None:
        whose += f" ({row['user']})"
    if cell_len(whose) > NAME_CELLS:
        whose = set_cell_size(whose, NAME_CELLS - 1) + "…"
    expected = row["expected_tokens"]
    return (
        "runs" if row["position"] is None else str(row["position"]),
        row["task_id"] or "another's",
        whose,
        str(row["priority"]),
        row["since"][11:19],
        seconds(row["eta_ms"]) if row["position"] is not None else "",
        f"{expected['prompt']} + {expected['output']}",
    )


def seconds(ms: int | None) -> str:
    """A time to wait, as far as anybody knows."""
    if ms is None:
        return "?"
    return f"{ms / 1000:.1f} s" if ms < 60_000 else f"{ms / 60_000:.0f} min"


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
