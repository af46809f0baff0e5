"""Models that are pulled while clients watch.

A pull blocks, and may last for an hour: it has a thread of its own, which is told to stop once
nobody watches any more, and what came is kept for the next time. There is one at a time; who asks
for the same watches the same. Addresses are not taken from clients, only names and repositories of
the hub: the node would fetch from its own network what a client cannot.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from edge.errors import ElwiftError, InternalError, InvalidRequest, ModelError, Overloaded
from edge.inference import ModelFile
from edge.inference.models import available
from edge.inference.pulling.catalogue import CATALOGUE
from edge.inference.pulling.pull import Begun, pull
from edge.inference.pulling.wanted import Repository, read

logger = logging.getLogger("elwift.gateway")

BEGINS: Final = "pulling manifest"
"""What is said first; all these words are Ollama's, and some clients look for them."""
SUCCESS: Final = "success"
BUSY_MS: Final = 60_000
REPORT_BYTES: Final = 1 << 20
"""Less than that is no news."""

Fetch = Callable[..., ModelFile]


class Pull:
    """One pull. Whoever watches has its ``wake`` called when there is news in `state`; ``over``
    once there is no more, and then ``error`` says why nothing came of it, if nothing did."""

    def __init__(self, wanted: str) -> None:
        self.wanted = wanted
        self.state: dict[str, Any] = {"status": BEGINS}
        self.over = False
        self.error: ElwiftError | None = None
        self.watchers: set[Callable[[], object]] = set()
        self.stopped = threading.Event()

    def say(self, state: dict[str, Any]) -> None:
        """There is news. On the loop's thread."""
        self.state = state
        for wake in tuple(self.watchers):
            wake()

    def end(self, error: ElwiftError | None) -> None:
        """There is no more. On the loop's thread."""
        self.over, self.error = True, error
        self.say({"status": SUCCESS} if error is None else self.state)


class Pulls:
    """The pull that is under way, if any."""

    def __init__(self, data_dir: Path, hub_url: str, fetch: Fetch = pull) -> None:
        self._data_dir = data_dir
        self._hub_url = hub_url
        self._fetch = fetch
        self._under_way: Pull | None = None

    def watch(self, text: str, wake: Callable[[], object]) -> Pull:
        """The pull of this model, which begins unless it is under way. InvalidRequest for what is
        none, Overloaded while another is pulled. To be left."""
        wanted = named(text)
        found = self._under_way
        if found is None or found.over:
            found = self._under_way = Pull(wanted)
            threading.Thread(
                target=self._run, args=(found, asyncio.get_running_loop()), name="pull",
                daemon=True,  # a node that ends does not wait for a server
            ).start()  # fmt: skip
        elif found.wanted != wanted:
            raise Overloaded(
                f"{found.wanted} is being pulled; one model at a time", retry_after_ms=BUSY_MS
            )
        found.watchers.add(wake)
        found.stopped.clear()
        return found

    def leave(self, watched: Pull, wake: Callable[[], object]) -> None:
        """This one watches no more. When it was the last, the pull stops."""
        watched.watchers.discard(wake)
        if not watched.watchers:
            watched.stopped.set()

    def _run(self, under_way: Pull, loop: asyncio.AbstractEventLoop) -> None:
        """On the pull's own thread."""
        title, told_bytes = "", 0

        def tell(call: Callable[..., object], *args: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(call, *args)

        def begun(what: Begun) -> None:
            nonlocal title
            title = f"pulling {what.name}"
            tell(under_way.say, {"status": title})

        def progress(done_bytes: int, total_bytes: int | None) -> None:
            nonlocal told_bytes
            if under_way.stopped.is_set():
                raise _Stopped
            if done_bytes == total_bytes or abs(done_bytes - told_bytes) >= REPORT_BYTES:
                told_bytes = done_bytes
                total = {} if total_bytes is None else {"total": total_bytes}
                tell(under_way.say, {"status": title, "completed": done_bytes, **total})

        async def pause(seconds: float) -> None:
            for _ in range(max(1, int(seconds))):
                if under_way.stopped.is_set():
                    raise _Stopped
                await asyncio.sleep(min(1.0, seconds))

        def fetch() -> None:
            # Apps pull what they need each time that they start.
            if any(model.name == under_way.wanted for model in available(self._data_dir)):
                return
            self._fetch(
                under_way.wanted, self._data_dir, hub_url=self._hub_url, begun=begun,
                progress=progress, pause=pause,
            )  # fmt: skip

        error: ElwiftError | None = None
        try:
            while not _is_whole(under_way, fetch):
                pass  # somebody came back while it stopped
        except _Stopped:
            error = ModelError("nobody waited for it any more")
        except ModelError as refused:
            error = refused
        except Exception:
            logger.exception("the pull of %s has failed", under_way.wanted)
            error = InternalError("the pull has failed")
        tell(under_way.end, error)


class _Stopped(Exception):
    """Nobody watches."""


def _is_whole(under_way: Pull, fetch: Callable[[], None]) -> bool:
    """Fetches; False when it stopped, and somebody has come back meanwhile."""
    try:
        fetch()
    except _Stopped:
        if under_way.stopped.is_set():
            raise
        return False
    return True


def named(text: str) -> str:
    """What is to be pulled, as `wanted.read` takes it. Ollama's way of naming sizes is understood
    where the catalogue has the model. InvalidRequest for an address and for nonsense."""
    plain = text.strip().removesuffix(":latest")
    dashed = plain.replace(":", "-").lower()
    if any(entry.name == dashed for entry in CATALOGUE):
        return dashed
    try:
        wanted = read(plain)
    except ModelError as error:
        raise InvalidRequest(str(error), field="model") from error
    if not isinstance(wanted, Repository):
        raise InvalidRequest(
            "models are pulled by name or from repositories of the hub here; from an address, use"
            " `elwift models pull` on the node's machine",
            field="model",
        )
    return plain
