"""A client as one would write it: it watches, comes back after cuts, and checks all it hears."""

from __future__ import annotations

from random import Random
from typing import Any, Final, Protocol

import orjson

from edge.clock import NS_PER_MS, ManualClock
from edge.phoenix import CLOSE_TRY_LATER
from tests.simulation.limits import Config, bound_of
from tests.simulation.mine import Mine, Player
from tests.simulation.sockets import Link, frames
from tests.simulation.truth import STATES, TERMINAL, End, Known, View, Violation, end_of

HEARTBEAT_MS: Final = 15_000

PATIENCE_MAX: Final = 5
"""So many times who is refused doubles the time until it asks again."""


class Host(Player, Protocol):
    """What clients can reach of the node, and of the world."""

    def connect(self, client: Client) -> Link | None: ...


class Client:
    """One user's program. All of its views go over one socket, and so does its look at all."""

    def __init__(
        self, name: str, clock: ManualClock, rng: Random, host: Host, config: Config,
        trace: list[Any],
    ) -> None:  # fmt: skip
        self.name = name
        self.views: list[View] = []
        self.mine: Mine | None = None
        self.link: Link | None = None
        self._clock = clock
        self._rng = rng
        self._host = host
        self._config = config
        self._trace = trace
        self._refs = 0
        self._by_join: dict[str, View | Mine] = {}

    # ---- what it wants

    def watch(self, known: Known) -> None:
        """Watches the task; a second view takes the place of the first, as in a new window."""
        for view in self.views:
            if view.known is known and not view.closed:
                return
        view = View(known)
        self.views.append(view)
        self._begin(view)

    def leave(self, known: Known) -> None:
        """Stops watching."""
        for view in self.views:
            if view.known is known and not view.closed:
                self.views.remove(view)
                self._leave(view)
                return

    def follow(self) -> None:
        """Looks at all of its tasks."""
        if self.mine is None:
            self.mine = Mine(self.name, self._config.offsets_max, self._host)
            self._begin(self.mine)

    def unfollow(self) -> None:
        """And stops."""
        if self.mine is not None:
            self._leave(self.mine)
            self.mine = None

    def command(self, known: Known, event: str) -> None:
        """Pushes cancel or retry on the task's channel, if it is joined."""
        for view in self.views:
            if view.known is known and view.joined:
                self._send(view, event, {})
                if event == "retry":
                    known.retries_sent += 1
                return

    def drop(self, known: Known) -> None:
        """The task is gone with the node's memory, as was said when it was accepted; or it had
        ended, and was cleared away."""
        for view in [view for view in self.views if view.known is known]:
            self.views.remove(view)
            self._by_join.pop(view.join_ref, None)
        if self.mine is not None:
            self.mine.forget(known.task_id)

    # ---- the socket

    def _begin(self, wanted: View | Mine) -> None:
        if self.link is None:
            self.connect()
        else:
            self._join(wanted)

    def _leave(self, wanted: View | Mine) -> None:
        self._by_join.pop(wanted.join_ref, None)
        self._send(wanted, "phx_leave", {})

    def _wanted(self) -> list[View | Mine]:
        """What is to be joined."""
        wanted: list[View | Mine] = [view for view in self.views if not view.closed]
        return wanted if self.mine is None else [*wanted, self.mine]

    def connect(self) -> None:
        """Opens the socket if somebody is watching; tries again until the node is there."""
        if self.link is not None or not self._wanted():
            return
        self.link = self._host.connect(self)
        if self.link is None:
            self._clock.call_after(self._rng.randrange(50, 400) * NS_PER_MS, self.connect)
            return
        self._by_join.clear()
        for wanted in self._wanted():
            self._join(wanted)
        self._beat(self.link)

    def closed(self, link: Link, code: int | None) -> None:
        """The socket is over; see `Receiver`."""
        if link is not self.link:
            return
        self._trace.append((self._clock.now_ns(), "socket over", self.name, code))
        if code == CLOSE_TRY_LATER:
            self._host.reach("outbox")
        self.link = None
        for wanted in self._wanted():
            wanted.joined = False
        if self.mine is not None:
            self.mine.refused = False
        self._clock.call_after(self._rng.randrange(20, 300) * NS_PER_MS, self.connect)

    def _beat(self, link: Link) -> None:
        if self.link is link:
            if self.views and all(view.closed for view in self.views):
                self.views.clear()
            self._send_raw([None, self._ref(), "phoenix", "heartbeat", {}])
            self._clock.call_after(HEARTBEAT_MS * NS_PER_MS, lambda: self._beat(link))

    def _ref(self) -> str:
        self._refs += 1
        return str(self._refs)

    def _join(self, wanted: View | Mine) -> None:
        self._by_join.pop(wanted.join_ref, None)
        wanted.join_ref = self._ref()
        wanted.joined = False
        self._by_join[wanted.join_ref] = wanted
        self._send(wanted, "phx_join", wanted.join_payload())

    def _send(self, wanted: View | Mine, event: str, payload: Any) -> None:
        join_ref = wanted.join_ref
        ref = join_ref if event == "phx_join" else self._ref()
        self._send_raw([join_ref, ref, wanted.topic, event, payload])

    def _send_raw(self, frame: list[Any]) -> None:
        if self.link is not None:
            self.link.send(orjson.dumps(frame).decode())

    # ---- what it hears

    def receive(self, link: Link, data: bytes, sent_ns: int, durable: bool) -> None:
        """Frames of the node; see `Receiver`."""
        if link is not self.link:
            return
        for frame in frames(data):
            join_ref, ref, _topic, event, payload = orjson.loads(frame)
            wanted = self._by_join.get(join_ref) if join_ref is not None else None
            if wanted is None:
                continue
            which = wanted.known.number if isinstance(wanted, View) else "all"
            self._trace.append((self._clock.now_ns(), "heard", self.name, which, event, payload))
            if event == "phx_reply":
                if ref == wanted.join_ref:
                    self._answered(wanted, payload, sent_ns, durable)
            elif event == "phx_error":
                wanted.joined = False
                self._rejoin(wanted)
            elif isinstance(wanted, View):
                self._hear(wanted, event, payload, sent_ns, durable)
            else:
                for update in payload["updates"]:
                    wanted.hear(update, sent_ns, durable)

    def _hear(self, view: View, event: str, payload: Any, sent_ns: int, durable: bool) -> None:
        if event == "phx_close":
            view.close()
            return
        view.hear(event, payload, self._clock.now_ns())
        if event in STATES:
            end = end_of(event, payload)
            self._host.told_end(view.known, end, sent_ns, durable)
            view.ended(end)

    def _answered(self, wanted: View | Mine, payload: Any, sent_ns: int, durable: bool) -> None:
        response = payload["response"]
        if payload["status"] != "ok":
            if response.get("reason") == "not found":
                raise Violation("never lost", f"{wanted} could not join: {response}")
            self._host.reach(bound_of(str(response.get("reason"))))
            if isinstance(wanted, Mine):
                wanted.refused = True
            self._rejoin(wanted)
            return
        wanted.refusals = 0
        if isinstance(wanted, Mine):
            wanted.answered(response, self._clock.now_ns(), self._config.listed_max)
        else:
            document = response["task"]
            wanted.begin(response["offset"], response["delta"], document["seq"])
            if document["state"] in TERMINAL:
                # The text of a long result is in pages, and then it is not in the document.
                result = document["result"]
                end = End(document["state"], result["text"] if result else None)
                self._host.told_end(wanted.known, end, sent_ns, durable)
                wanted.ended(end)

    def _rejoin(self, wanted: View | Mine) -> None:
        def again() -> None:
            if self.link is not None and wanted in self._wanted() and not wanted.joined:
                self._join(wanted)

        wanted.refusals += 1
        wait_ms = self._rng.randrange(10, 200) << min(wanted.refusals, PATIENCE_MAX)
        self._clock.call_after(wait_ms * NS_PER_MS, again)
