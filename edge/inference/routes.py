"""Who waits for what from the engine, and who may have ended it."""

from __future__ import annotations

from collections.abc import Callable

from edge.actors import Ref
from edge.engine.messages import Admitted, Finished, Output, Rejected, Step
from edge.inference.protocol import EngineLost


class Routes:
    """From the key of what runs to the actor that hears of it.

    `on_orphan` is called with the key of a sequence whose actor is dead: nobody wants the rest.
    """

    __slots__ = ("_ended_before", "_on_orphan", "_routes", "_silent")

    def __init__(self, on_orphan: Callable[[int], object]) -> None:
        self._routes: dict[int, Ref] = {}
        self._silent: set[int] = set()  # those that have produced no token yet
        self._ended_before: set[int] = set()  # those that are known to have ended an engine
        self._on_orphan = on_orphan

    def __len__(self) -> int:
        return len(self._routes)

    def __contains__(self, key: int) -> bool:
        return key in self._routes

    def add(self, key: int, reply_to: Ref, *, ended_engine: bool = False) -> None:
        self._routes[key] = reply_to
        self._silent.add(key)
        if ended_engine:
            self._ended_before.add(key)

    def step(self, step: Step) -> int:
        """Hands out what one decode step did, and says how many tokens it generated; the hottest
        code of the node's side.

        Each task has its turn with it here and now (`Ref.send_now`): so the frames of the first are
        written before the second is looked at, and nobody's text waits for that of all others.
        """
        routes = self._routes
        tokens = 0
        for admitted in step.admitted:
            self._pass_on(admitted)
        silent = self._silent
        for output in step.outputs:
            ref = routes.get(output.key)
            if ref is not None and not ref.send_now(output):
                self._orphan(output.key)
            if output.tokens:
                tokens += len(output.tokens)
                if silent:
                    silent.discard(output.key)
        for finished in step.finished:
            self.end(finished)
        return tokens

    def end(self, message: Finished | Rejected) -> None:
        """The last message of its key."""
        ref = self._routes.get(message.key)
        self._forget(message.key)
        if ref is not None:
            ref.send_now(message)

    def culprit(self) -> int | None:
        """Who must have done it, should the engine have died of what ran: the only one that ran,
        or the only one without a token that has done it before. Else each has to
        run alone once, before it is known."""
        if len(self._routes) == 1:
            return next(iter(self._routes))
        known = self._ended_before & self._silent
        return next(iter(known)) if len(known) == 1 else None

    def lose_all(self, reason: str, *, own_fault: bool) -> int:
        """Tells everybody that the engine is gone; how many they were.

        If it died of what ran, that was its `culprit`, or else anybody may have been."""
        culprit = self.culprit() if own_fault else None
        unclear = own_fault and culprit is None
        routes, silent = self._routes, self._silent
        self._routes, self._silent, self._ended_before = {}, set(), set()
        for key, ref in routes.items():
            ref.send(
                EngineLost(
                    key,
                    reason,
                    caused=key == culprit,
                    may_have_caused=unclear,
                    silent=key in silent,
                )
            )
        return len(routes)

    def _pass_on(self, message: Admitted | Output) -> None:
        ref = self._routes.get(message.key)
        if ref is not None and not ref.send_now(message):
            self._orphan(message.key)

    def _orphan(self, key: int) -> None:
        self._forget(key)
        self._on_orphan(key)

    def _forget(self, key: int) -> None:
        self._routes.pop(key, None)
        self._silent.discard(key)
        self._ended_before.discard(key)
