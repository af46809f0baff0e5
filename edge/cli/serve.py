"""``elwift serve``: a node until a signal ends it.

SIGINT, SIGTERM and SIGHUP (the terminal has gone away) have it stop in order: running tasks may
finish within the drain, the others are kept. SIGINT while it stops means at once: what is on disk
is whole at any moment, so nothing that was accepted is lost by that.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal

import uvloop

from edge.cli import flags
from edge.cli.output import complain, note, say, say_json
from edge.errors import ModelError
from edge.node import Node, Started
from edge.settings import Settings, is_loopback
from edge.settings.tree import Log
from edge.telemetry import log_events
from edge.telemetry.lines import JsonLines, Lines, is_journal


def add_to(levels: flags.Levels) -> None:
    """The command."""
    parser = flags.add(levels, "serve", _command, "Run a node until it is told to stop.")
    flags.settings_flags(parser, *flags.SETTINGS)


def _command(given: argparse.Namespace, settings: flags.Load) -> int:
    """Runs until told to stop; 0 after an orderly end, 1 when the node itself cannot go on."""
    chosen = settings()
    _write_log(chosen.log)
    try:
        return uvloop.run(run(chosen, as_json=given.json))
    except ModelError as error:
        complain(str(error))
        # A setting or a file has to be changed; until then every start ends the same way.
        return flags.WRONG_SETTINGS


async def run(settings: Settings, *, as_json: bool = False) -> int:
    """See `_command`; on a running event loop."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    _hear_signals(loop, told)
    node = Node(settings)
    log_events(node.telemetry)
    starting = loop.create_task(node.start())
    waiting = loop.create_task(told.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        return 0
    waiting.cancel()
    _greet(starting.result(), settings, as_json=as_json)
    failing = loop.create_task(node.failed())
    waiting = loop.create_task(told.wait())
    await asyncio.wait({failing, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if failing.done():
        # Whoever keeps services running starts another one.
        waiting.cancel()
        complain(failing.result())
    else:
        failing.cancel()
        note("stopping: running tasks may finish, waiting ones are kept for the next start")
    left = await node.stop(drain=told.is_set())
    note(f"stopped; {left} unfinished tasks will go on at the next start")
    return 0 if told.is_set() else 1


def _write_log(wanted: Log) -> None:
    """The log goes to standard error, as the settings have it."""
    handler = logging.StreamHandler()
    kind = JsonLines if wanted.format == "json" else Lines
    handler.setFormatter(kind(journal=is_journal(handler.stream), paths=wanted.paths))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("elwift").setLevel(wanted.level.upper())


def _hear_signals(loop: asyncio.AbstractEventLoop, told: asyncio.Event) -> None:
    def hear(number: signal.Signals) -> None:
        if told.is_set() and number == signal.SIGINT:
            note("ending at once; unfinished tasks will go on at the next start")
            # Past all that could hang. The engine ends with this process, or with its pipe.
            os._exit(128 + number)
        told.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Who starts a program with `nohup` wants it to live on without a terminal.
        if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        loop.add_signal_handler(number, hear, number)


def _greet(started: Started, settings: Settings, *, as_json: bool) -> None:
    if started.degraded:
        complain(f"the model {started.model} does not run: {started.degraded}")
        note("model     none: tasks that allow it are answered without, the others wait for it")
    else:
        mode = ", safe mode: the fast one crashes on this processor" if started.safe_mode else ""
        note(f"model     {started.model}, {started.context_tokens} tokens of context{mode}")
        if started.room and not started.degraded:
            note(f"memory    {started.room}")
        note(f"threads   {started.threads}")
    note(f"database  {started.database}")
    if started.quarantined:
        note(f"          the old one could not be read and is kept as {started.quarantined}")
    if started.recovered:
        note(f"          {started.recovered} unfinished tasks go on")
    names = ", ".join(settings.server.tokens)
    if names:
        note(f"access    with a token: {names}")
    else:
        assert is_loopback(settings.server.host), "checked by the settings"
        pages = " and ".join(settings.server.origins)
        others = f"and pages of {pages}" if pages else "nobody else"
        note(f"access    anybody on this machine, {others}")
    ready = {"url": started.url, "model": started.model, "slots": started.slots}
    # Nobody may be left to read it, and the node serves all the same.
    with contextlib.suppress(OSError):
        if as_json:
            # One line, like the other form: who starts a node reads up to the line's end.
            say_json(ready, indent=False)
        else:
            say("ready {url} model={model} slots={slots}".format(**ready))
