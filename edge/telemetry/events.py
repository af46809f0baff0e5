"""The one way to emit events and to hear them, after Elixir's ``:telemetry``.

An event is a name of the table (`edge.telemetry.table`) with its measurements and its metadata.
Handlers run synchronously, in the order in which they were attached, on the loop's thread: they
have to be quick and must not raise. A handler that does raise is detached, because telemetry must
never take the node down; that is an event of its own, and the node's health tells it. An event
that nobody wants costs a look into one table.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, NamedTuple, Protocol

from edge.telemetry.table import EVENTS

logger = logging.getLogger("elwift.telemetry")

DETACHED: Final = "telemetry.detached"
NS_PER_US: Final = 1_000


class Event(NamedTuple):
    """One thing that happened: what `EVENTS` has for its name."""

    name: str
    measurements: dict[str, object]
    metadata: dict[str, object]

    @property
    def fields(self) -> dict[str, object]:
        """Both together; no name is in both."""
        return self.measurements | self.metadata


Handler = Callable[[Event], object]


class Now(Protocol):
    """What a span is measured with: see `edge.clock.Clock`."""

    def now_ns(self) -> int: ...


class _Attached:
    """A handler, as it was attached once: the same one may be attached again."""

    __slots__ = ("handler", "hears", "names")

    def __init__(self, handler: Handler, names: frozenset[str]) -> None:
        self.handler = handler
        self.names = names
        self.hears = True


class Telemetry:
    """Where events are emitted and heard. One for the whole node, handed to who needs it."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[_Attached, ...]] = dict.fromkeys(EVENTS, ())
        self._detached: list[str] = []

    @property
    def detached(self) -> tuple[str, ...]:
        """The handlers that raised, and so hear no more."""
        return tuple(self._detached)

    def attach(self, handler: Handler, names: Iterable[str] = EVENTS) -> Callable[[], None]:
        """Hears these events from now on, all unless said otherwise; returns what ends that. An
        unknown name raises KeyError."""
        attached = _Attached(handler, frozenset(names))
        for name in attached.names:
            if name not in EVENTS:
                raise KeyError(f"{name!r} is not in the table of events")
        for name in attached.names:
            self._heard[name] += (attached,)
        return lambda: self._remove(attached)

    def emit(self, name: str, /, **fields: object) -> None:
        """Tells who hears it. An unknown name is a defect of the caller and raises KeyError."""
        try:
            heard = self._heard[name]
        except KeyError:
            raise KeyError(f"{name!r} is not in the table of events") from None
        if not heard:
            return
        measured = EVENTS[name].measurements
        event = Event(
            name,
            {key: value for key, value in fields.items() if key in measured},
            {key: value for key, value in fields.items() if key not in measured},
        )
        for attached in heard:
            if not attached.hears:
                continue  # since this began
            try:
                attached.handler(event)
            except Exception as error:
                self._throw_out(attached, name, error)

    def span(self, name: str, clock: Now, /, **metadata: object) -> Span:
        """Something that takes time, as a context: ``{name}.start``, and in the end either
        ``{name}.stop`` or ``{name}.exception``, with ``duration_us``."""
        return Span(self, name, clock, metadata)

    def _remove(self, attached: _Attached) -> None:
        attached.hears = False
        for name in attached.names:
            self._heard[name] = tuple(each for each in self._heard[name] if each is not attached)

    def _throw_out(self, attached: _Attached, name: str, error: Exception) -> None:
        self._remove(attached)
        handler = getattr(attached.handler, "__qualname__", type(attached.handler).__qualname__)
        self._detached.append(handler)
        logger.error("the handler %s of %s raised and was detached", handler, name, exc_info=error)
        # Each round has one handler less, so this ends.
        self.emit(DETACHED, handler=handler, event=name, error=error)


class Span:
    """See `Telemetry.span`. `tell` adds to what the end says."""

    __slots__ = ("_begun_ns", "_clock", "_metadata", "_name", "_telemetry", "_told")

    def __init__(
        self, telemetry: Telemetry, name: str, clock: Now, metadata: dict[str, object]
    ) -> None:
        self._telemetry = telemetry
        self._name = name
        self._clock = clock
        self._metadata = metadata
        self._told: dict[str, object] = {}
        self._begun_ns = 0

    def tell(self, **fields: object) -> None:
        """The event of the end has these, too: measurements or metadata, as the table says."""
        self._told.update(fields)

    def __enter__(self) -> Span:
        self._begun_ns = self._clock.now_ns()
        self._telemetry.emit(f"{self._name}.start", **self._metadata)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        duration_us = (self._clock.now_ns() - self._begun_ns) // NS_PER_US
        if error is None:
            self._telemetry.emit(
                f"{self._name}.stop", duration_us=duration_us, **(self._metadata | self._told)
            )
        else:
            self._telemetry.emit(
                f"{self._name}.exception", duration_us=duration_us, error=error, **self._metadata
            )
