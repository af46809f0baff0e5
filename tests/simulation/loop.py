"""An event loop without time, threads or files: a line of callbacks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, cast

T = TypeVar("T")

ReadLater = Callable[[Callable[[], object]], object]


class SimLoop:
    """As much of an event loop as the node's own code needs, and no more.

    ``breath`` runs what was ready when it was called, as one turn of asyncio's loop does.
    ``executor(call)`` has to run `call` some time later, in place of a thread.
    """

    def __init__(self, executor: ReadLater) -> None:
        self._executor = executor
        self._ready: deque[asyncio.Handle] = deque()
        self._runners: dict[asyncio.Task[Any], None] = {}
        self.failures: list[dict[str, Any]] = []
        self.dead = False
        # Itself, for those who want a whole event loop but only use this much of it.
        self.real = cast(asyncio.AbstractEventLoop, self)

    def __len__(self) -> int:
        """How many callbacks are ready."""
        return len(self._ready)

    def breath(self) -> None:
        """One turn."""
        asyncio.events._set_running_loop(self.real)
        try:
            for _ in range(len(self._ready)):
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            asyncio.events._set_running_loop(None)

    def call_now(self, call: Callable[[], T]) -> T:
        """Calls something that has to be on the loop's thread."""
        asyncio.events._set_running_loop(self.real)
        try:
            return call()
        finally:
            asyncio.events._set_running_loop(None)

    def die(self) -> None:
        """The process is gone: nothing runs any more, and what was half-way ends unheard."""
        self.dead = True
        self._ready.clear()
        for runner in list(self._runners):
            runner._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine = runner.get_coro()
            assert coroutine is not None
            coroutine.close()
        self._runners.clear()
        self._ready.clear()

    def spawn(self, coro: Coroutine[Any, Any, object]) -> None:
        """Runs a coroutine."""
        self.create_task(coro).add_done_callback(self._look)

    def _look(self, ended: asyncio.Task[object]) -> None:
        error = None if ended.cancelled() else ended.exception()
        if error is not None:
            self.call_exception_handler({"message": "a coroutine failed", "exception": error})

    @property
    def runners(self) -> list[str]:
        """Coroutines that have not ended."""
        return [str(runner.get_coro()) for runner in self._runners]

    # ---- what asyncio and the node call

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self.real, context)
        if not self.dead:
            self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self.real)

    def create_task(self, coro: Coroutine[Any, Any, T], **_options: Any) -> asyncio.Task[T]:
        if self.dead:
            coro.close()
        runner = asyncio.Task(coro, loop=self.real)
        self._runners[runner] = None
        runner.add_done_callback(lambda ended: self._runners.pop(ended, None))
        return runner

    def run_in_executor(
        self, _executor: Any, call: Callable[[], T], *_args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()

        def run() -> None:
            if self.dead:
                return
            try:
                result = call()
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self._executor(run)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead:
            self.failures.append(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self.dead
