"""``elwift completion``: the script that has a shell complete commands and flags."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import shtab

from edge.cli import flags
from edge.cli.output import say, say_json


def add_to(levels: flags.Levels, parser: Callable[[], argparse.ArgumentParser]) -> None:
    """The command; `parser` makes the whole command line, which is what gets completed."""

    def run(given: argparse.Namespace, _settings: flags.Load) -> int:
        script = shtab.complete(parser(), given.shell)
        if given.json:
            say_json({"shell": given.shell, "script": script})
        else:
            say(script)
        return 0

    about = 'Print a shell\'s completion script, as for eval "$(elwift completion bash)".'
    command = flags.add(levels, "completion", run, about)
    command.add_argument("shell", choices=shtab.SUPPORTED_SHELLS)
