"""Supervisors: they start children, bring them back when they end, and give up in time.

As in OTP: a *permanent* child is always restarted, a *transient* one after an abnormal end, a
*temporary* one never; more than ``max_restarts`` within ``max_seconds`` and the supervisor stops
its children, latest first, and ends itself, so that its own parent hears. With ``budget="child"``
every child has a window of its own, and one that spends it is given up alone: so no poison task
ever costs its siblings anything (the lesson of Oban 2.23).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edge.actors.actor import Actor
from edge.actors.errors import AlreadyRegistered
from edge.actors.intensity import Intensity
from edge.actors.reasons import KILLED, SHUTDOWN, Exhausted, Reason
from edge.actors.ref import Ref

if TYPE_CHECKING:
    from edge.clock import Timer

Restart = Literal["permanent", "transient", "temporary"]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How a child is started, again and again: ``start`` makes a fresh actor each time.

    The child is registered as ``name``. At shutdown it has ``shutdown_ms`` to end by itself.
    """

    name: str
    start: Callable[[], Actor]
    restart: Restart = "permanent"
    shutdown_ms: int = 5_000


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    ref: Ref
    restarts_ns: tuple[int, ...] = ()
    restarts: int = 0
    unwanted: bool = False


class _Overdue:
    """A child did not end in time."""

    __slots__ = ("ref",)

    def __init__(self, ref: Ref) -> None:
        self.ref = ref


class Supervisor(Actor):
    """One for one: a child that ends concerns no other child.

    `on_exhausted` is told the name and the last reason of a child that is given up alone
    (``budget="child"``). `start_child` and `terminate_child` are plain calls, to be made on the
    loop's thread; a child is there when `start_child` returns.
    """

    __slots__ = (
        "_children",
        "_deadline",
        "_end_reason",
        "_intensity",
        "_on_exhausted",
        "_restarts_ns",
        "_shared",
        "_specs",
    )

    def __init__(
        self,
        specs: tuple[ChildSpec, ...] = (),
        *,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        budget: Literal["shared", "child"] = "shared",
        on_exhausted: Callable[[str, Reason], object] | None = None,
    ) -> None:
        self._specs = specs
        self._children: dict[str, _Child] = {}
        self._intensity = Intensity(max_restarts, max_seconds)
        self._shared = budget == "shared"
        self._restarts_ns: tuple[int, ...] = ()
        self._on_exhausted = on_exhausted
        self._end_reason: Reason | None = None
        self._deadline: Timer | None = None

    def started(self) -> None:
        for spec in self._specs:
            self.start_child(spec)

    def start_child(self, spec: ChildSpec) -> Ref:
        """Starts a child and returns its address. `AlreadyRegistered` when the name is taken,
        by a child of this supervisor or anybody else."""
        if spec.name in self._children:
            raise AlreadyRegistered(f"there is a child called {spec.name!r} already")
        ref = self.system.spawn(spec.start(), name=spec.name, parent=self)
        self._children[spec.name] = _Child(spec, ref)
        return ref

    def terminate_child(self, name: str) -> bool:
        """Asks a child to end, for good; False when there is none of that name."""
        child = self._children.get(name)
        if child is None:
            return False
        child.unwanted = True
        child.ref.stop(SHUTDOWN)
        return True

    def children(self) -> dict[str, Ref]:
        """The children by name, in the order in which they were started."""
        return {name: child.ref for name, child in self._children.items()}

    def child_ended(self, ref: Ref, reason: Reason) -> None:
        child = self._children.get(ref.name or "")
        if child is None or child.ref is not ref:
            return
        name = child.spec.name
        if self._end_reason is not None:
            del self._children[name]
            self._stop_next()
        elif child.unwanted or not _wants_restart(child.spec.restart, reason):
            del self._children[name]
        elif self._may_restart(child):
            child.restarts += 1
            self.system.emit("supervisor.restarted", child=name, restarts=child.restarts)
            child.ref = self.system.spawn(child.spec.start(), name=name, parent=self)
        else:
            del self._children[name]
            self._give_up(name, reason)

    def _may_restart(self, child: _Child) -> bool:
        before = self._restarts_ns if self._shared else child.restarts_ns
        after = self._intensity.restart(before, self.system.clock.now_ns())
        if after is None:
            return False
        if self._shared:
            self._restarts_ns = after
        else:
            child.restarts_ns = after
        return True

    def _give_up(self, name: str, reason: Reason) -> None:
        self.system.emit("supervisor.exhausted", supervisor=self.ref.label, child=name)
        if self._shared:
            self.stopping(Exhausted(name))
        elif self._on_exhausted is not None:
            self._on_exhausted(name, reason)

    def stopping(self, reason: Reason) -> None:
        """Stops the children one by one, latest first, each within its time; then ends."""
        if self._end_reason is None:
            self._end_reason = reason
            self._stop_next()

    def _stop_next(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if not self._children:
            assert self._end_reason is not None
            self.stop(self._end_reason)
            return
        child = self._children[next(reversed(self._children))]
        child.ref.stop(SHUTDOWN)
        self._deadline = self.send_after(child.spec.shutdown_ms, _Overdue(child.ref))

    def handle(self, message: object) -> None:
        if isinstance(message, _Overdue):
            message.ref.kill(KILLED)

    def stopped(self, reason: Reason) -> None:
        """However this ends, no child is left without a parent."""
        for child in reversed(self._children.values()):
            child.ref.kill(SHUTDOWN)


def _wants_restart(restart: Restart, reason: Reason) -> bool:
    return restart == "permanent" or (restart == "transient" and reason.abnormal)
