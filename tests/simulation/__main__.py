"""``python -m tests.simulation --seeds 10000`` runs many worlds, ``--seed 37`` one."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.runner import Outcome, report, run, shrink, silence


def main() -> int:
    """The exit code is 0 when every promise was kept in every world."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="how many worlds")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="the first one's seed")
    parser.add_argument("--trace", action="store_true", help="print all that happens")
    given = parser.parse_args()
    started_s = time.monotonic()
    failed: list[Outcome] = []
    with silence():
        for seed in range(given.seed, given.seed + given.seeds):
            outcome = run(seed)
            if given.trace:
                for event in outcome.trace:
                    say(str(event))
            if outcome.failure is not None:
                failed.append(outcome)
                say(report(shrink(outcome)))
            elif given.seeds == 1:
                say(f"seed {seed}: kept; {len(outcome.trace)} events, trace {outcome.digest}")
    took_s = time.monotonic() - started_s
    say(f"{given.seeds} worlds, {len(failed)} failed, {took_s / given.seeds * 1000:.0f} ms each")
    return 1 if failed else 0


def say(text: str) -> None:
    """Prints, also where the terminal knows no such characters."""
    sys.stdout.buffer.write(f"{text}\n".encode())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
