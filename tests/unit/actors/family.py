"""A supervisor and its children, which note when they start and end."""

from __future__ import annotations

from edge.actors import SHUTDOWN, ChildSpec, Reason, Ref, Supervisor
from tests.unit.actors.world import Recorder, World

BOOM = ValueError("boom")


class Family:
    """A supervisor in a world, with children that note their starts and ends."""

    def __init__(self, world: World, supervisor: Supervisor) -> None:
        self.world = world
        self.supervisor = supervisor
        self.log: list[str] = []
        self.ref = world.system.spawn(supervisor, name="supervisor")

    def child(self, name: str, **fields: object) -> ChildSpec:
        return ChildSpec(name, lambda: Member(name, self.log), **fields)  # type: ignore[arg-type]  # passed on as given

    def start(self, *names: str, **fields: object) -> list[Ref]:
        refs = [self.supervisor.start_child(self.child(name, **fields)) for name in names]
        self.log.clear()
        return refs

    def end(self, name: str, reason: Reason | None = None) -> None:
        """Ends the child, by a crash unless a reason is given."""
        ref = self.world.find(name)
        if reason is None:
            ref.send(BOOM)
        else:
            ref.kill(reason)
        self.world.run()

    def crash(self, name: str, times: int) -> None:
        for _ in range(times):
            self.end(name)

    def names(self) -> list[str]:
        return list(self.supervisor.children())


class Member(Recorder):
    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__()
        self.name = name
        self.log = log

    def started(self) -> None:
        self.log.append(f"+{self.name}")

    def stopped(self, reason: Reason) -> None:
        self.log.append(f"-{self.name}")


class Slow(Member):
    """Needs a message more before it stops."""

    def stopping(self, reason: Reason) -> None:
        self.log.append(f"?{self.name}")

    def handle(self, message: object) -> None:
        self.stop(SHUTDOWN)
