"""The supervisor: an actor whose work is the life of other actors, with OTP's rules.

A child's death runs in this order: its last words; its name is freed; the supervisor restarts it
(the new actor is registered and has run `started`); only then do those who monitored the dead one
get their `Down`. So who handles a `Down` finds the successor under the name, unless there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from edge.actors.actor import Actor
from edge.actors.calls import Reply
from edge.actors.child import Child, ChildSpec, Restart
from edge.actors.errors import ActorDown, AlreadyRegistered
from edge.actors.intensity import Intensity
from edge.actors.reasons import SHUTDOWN, Crash, Exhausted, Reason
from edge.actors.ref import Ref
from edge.errors import InternalError

__all__ = ["ChildSpec", "Restart", "Supervisor"]

Budget = Literal["shared", "child"]


class Supervisor(Actor):
    """Starts children, restarts them within a budget, and ends them in reverse order.

    ``children`` are started, in order, when the supervisor itself is; more can follow at any time.
    A restart happens at once. More than ``max_restarts`` in ``max_seconds``:

    * with ``budget="shared"`` all children are ended in reverse order, then the supervisor with
      `Exhausted`, which its own parent hears of: the failure climbs the tree;
    * with ``budget="child"`` every child has its own budget; the one that spent it is given up,
      ``on_exhausted(name, reason)`` is told, and its siblings are not affected.
    """

    __slots__ = (
        "_budget",
        "_children",
        "_ending",
        "_intensity",
        "_on_exhausted",
        "_restarts_ns",
        "_specs",
        "_stop_order",
    )

    def __init__(
        self,
        children: Iterable[ChildSpec] = (),
        *,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        budget: Budget = "shared",
        on_exhausted: Callable[[str, Reason], object] | None = None,
    ) -> None:
        self._specs = tuple(children)
        self._intensity = Intensity(max_restarts, max_seconds)
        self._budget = budget
        self._on_exhausted = on_exhausted
        self._children: dict[str, Child] = {}  # in the order of their first start
        self._restarts_ns: tuple[int, ...] = ()
        self._ending: Reason | None = None
        self._stop_order: list[str] = []  # whom to end, last first

    @staticmethod
    def of(ref: Ref) -> Supervisor:
        """The supervisor behind a Ref, for calling its functions directly.

        Raises `ActorDown` when it is dead, TypeError when the actor is no supervisor.
        """
        actor = ref.actor()
        if not isinstance(actor, Supervisor):
            raise TypeError(f"{ref.label} is a {type(actor).__name__}, not a supervisor")
        return actor

    def start_child(self, spec: ChildSpec) -> Ref:
        """Starts a child now and returns its Ref; `started` has run.

        Raises `AlreadyRegistered` when the name is taken, `ActorDown` when the supervisor is
        ending, and whatever ``spec.start`` raises; there is no child then. An exception in the
        child's ``started`` is a crash like any other, with the restart rules that apply.
        """
        if self._ending is not None or not self.ref.alive:
            raise ActorDown(self.ref.label, self._ending or self.ref.reason or SHUTDOWN)
        if spec.name in self._children:
            raise AlreadyRegistered(f"this supervisor has a child {spec.name!r} already")
        # Spawned before it is entered: what ``spec.start`` raises leaves no child behind.
        ref = self._spawn(spec)
        self._children[spec.name] = Child(spec, ref)
        return ref

    def terminate_child(self, name: str) -> bool:
        """Asks the child to end and forgets it once it has; it is not restarted.

        Returns before that: monitor the child to hear of it. False when there is no such child.
        """
        child = self._children.get(name)
        if child is None:
            return False
        child.leaving = True
        child.ask_to_stop(self.system.clock)
        return True

    def children(self) -> dict[str, Ref]:
        """Names and Refs in the order of their first start; those about to end are included."""
        return {name: child.ref for name, child in self._children.items()}

    def started(self) -> None:
        for spec in self._specs:
            self.start_child(spec)

    def handle(self, message: object) -> None:
        """Nothing is meant to be sent to a supervisor; a mistaken sender does not end its tree."""

    def handle_call(self, request: object, reply: Reply) -> None:
        reply.fail(InternalError("a supervisor takes no calls; use Supervisor.of(ref)"))

    def stopping(self, reason: Reason) -> None:
        """Ends all children in reverse order, each within its own deadline, then itself."""
        self._shut_down(reason)

    def stopped(self, reason: Reason) -> None:
        """Killed or crashed: there is no time for deadlines, but no child is left behind."""
        # In reverse, as at an orderly end: a later child may use an earlier one to its last word.
        for child in reversed(list(self._children.values())):
            # A deadline is for an orderly end; its timer would hold the dead child until then.
            child.ended()
            child.ref.kill()
        self._children.clear()

    def child_ended(self, ref: Ref, reason: Reason) -> None:
        child = self._children.get(ref.name) if ref.name is not None else None
        if child is None or child.ref is not ref:
            return
        child.ended()
        # The end of all comes before the rules for one: a child that dies meanwhile stays dead.
        if self._ending is not None:
            del self._children[child.spec.name]
            self._stop_next()
        elif child.leaving or not child.spec.restarts_after(reason):
            del self._children[child.spec.name]
        elif not self._spend(child):
            self._give_up(child, reason)
        else:
            self._restart(child)

    def _spawn(self, spec: ChildSpec) -> Ref:
        return self.system.spawn(
            spec.start(),
            name=spec.name,
            parent=self,
            mailbox_messages_max=spec.mailbox_messages_max,
        )

    def _restart(self, child: Child) -> None:
        """Starts the child again; a failing ``spec.start`` spends the budget as a crash does."""
        while True:
            try:
                child.begin(self._spawn(child.spec))
            except Exception as error:
                self.system.emit("actor.crashed", name=child.spec.name, error=error)
                if self._spend(child):
                    continue
                self._give_up(child, Crash(error))
                return
            child.restarts += 1
            self.system.emit("supervisor.restarted", child=child.spec.name, restarts=child.restarts)
            return

    def _spend(self, child: Child) -> bool:
        """Takes one restart from the budget; False when there is none left."""
        now_ns = self.system.clock.now_ns()
        own = self._has_own_budget(child)
        window = self._intensity.restart(child.restarts_ns if own else self._restarts_ns, now_ns)
        if window is None:
            return False
        if own:
            child.restarts_ns = window
        else:
            self._restarts_ns = window
        return True

    def _has_own_budget(self, child: Child) -> bool:
        return self._budget == "child" or child.spec.own_budget

    def _give_up(self, child: Child, reason: Reason) -> None:
        name = child.spec.name
        # Forgotten before anybody is told: who hears of it may start another of that name.
        del self._children[name]
        self.system.emit("supervisor.exhausted", supervisor=self.ref.label, child=name)
        if not self._has_own_budget(child):
            self._shut_down(Exhausted(name))
        elif self._on_exhausted is not None:
            try:
                self._on_exhausted(name, reason)
            except Exception as error:
                # Whoever was to be told is at fault, not the siblings.
                self.system.emit("actor.crashed", name=self.ref.label, error=error)

    def _shut_down(self, reason: Reason) -> None:
        if self._ending is None:
            self._ending = reason
            self._stop_order = list(self._children)
            self._stop_next()

    def _stop_next(self) -> None:
        """Ends the last child of the order and returns; its death comes back here."""
        while self._stop_order:
            child = self._children.get(self._stop_order[-1])
            if child is not None and not child.ref.buried:
                child.ask_to_stop(self.system.clock)
                return
            self._stop_order.pop()
        assert self._ending is not None, "children are ended one after the other at the end alone"
        self.stop(self._ending)
