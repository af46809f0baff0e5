"""``elwift models pull``: fetches a model, with its licence and how far it has come."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from edge.cli import flags
from edge.cli.output import harmless, note, say, say_json
from edge.inference.pulling.pull import Begun, pull

EPILOG = (
    "MODEL is a short name (elwift models list --available), OWNER/REPOSITORY[:QUANTISATION] of the"
    " hub, or the https address of a GGUF file. Interrupted, the same command goes on."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.epilog = EPILOG
    parser.add_argument("model", metavar="MODEL", help="what to pull")
    parser.add_argument("--name", default="", help="what to call it (default: its own name)")
    parser.add_argument("--sha256", metavar="HEX", help="what the file has to have")


def command(given: argparse.Namespace, settings: flags.Load) -> int:
    """0 when the model is there."""
    chosen = settings()
    console = Console(file=sys.stderr)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        # Without a terminal a bar would be a line for each look at it.
        disable=not console.is_terminal,
        transient=True,
    ) as bars:
        bar = bars.add_task("", total=None)

        def begun(what: Begun) -> None:
            bars.update(bar, description=harmless(what.name))
            note(_told(what))

        def progress(done_bytes: int, total_bytes: int | None) -> None:
            bars.update(bar, completed=done_bytes, total=total_bytes)

        model = pull(
            given.model,
            chosen.data_dir(),
            hub_url=chosen.model.hub_url,
            name=given.name,
            sha256=given.sha256,
            begun=begun,
            progress=progress,
        )
    if given.json:
        say_json({"pulled": model.name, "licence": model.licence or None})
    elif model.place:
        say(f"{model.name} is there already: {model.place} keeps it")
    else:
        say(f"pulled {model.name}; run it with --model {model.name}")
        if model.licence:
            note(f"licence by the file itself: {model.licence}")
    return 0


def _told(what: Begun) -> str:
    size = "" if what.size_bytes is None else f", {what.size_bytes / 1048576:.1f} MiB"
    licence = "" if what.licence is None else f", licence: {what.licence or 'not said'}"
    return f"pulling {what.source}{size}{licence}"
