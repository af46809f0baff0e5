"""Kills node and engine a thousand times under load, and counts what got lost.

``python -m bench.chaos --kills 1000 --clients 20 [--seed N] [--model]`` prints the figures; the
exit code is 0 only when nothing was lost, duplicated or told wrong. The engine is a scripted one
unless ``--model`` asks for the embedded model.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from tests.support.chaos import chaos

ODDITIES_SHOWN = 20


def show_progress(kills: int) -> None:
    """For somebody who waits."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{kills} killed ")


def main() -> int:
    """The script."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.getrandbits(32))
    parser.add_argument("--model", action="store_true", help="the embedded model as the engine")
    given = parser.parse_args()
    sys.stdout.write(f"seed {given.seed}\n")
    sys.stdout.flush()
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="elwift-chaos-") as folder:
        verdict, killed = uvloop.run(
            chaos(
                Path(folder),
                kills=given.kills,
                clients=given.clients,
                seed=given.seed,
                model=given.model,
                progress=show_progress,
            )
        )
    for sentence in verdict.oddities[:ODDITIES_SHOWN]:
        sys.stdout.write(f"\n{sentence}")
    sys.stdout.write(
        f"\nkilled {killed['engine']} engines and {killed['node']} nodes"
        f" in {time.monotonic() - started_s:.0f} s\n"
        f"accepted {verdict.accepted}, completed {verdict.completed},"
        f" cancelled {verdict.cancelled}, lost = {verdict.lost},"
        f" duplicated = {verdict.duplicated}, text mismatches = {verdict.text_mismatches},"
        f" oddities = {len(verdict.oddities)}\n"
    )
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
