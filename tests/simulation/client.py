"""A client as one would write it: it watches, comes back after cuts, and checks all it hears."""

from __future__ import annotations

from random import Random
from typing import Any, Final, Protocol

import orjson

from edge.clock import NS_PER_MS, ManualClock
from tests.simulation.disk import Disk
from tests.simulation.sockets import Link, frames
from tests.simulation.truth import STATES, TERMINAL, End, Known, View, Violation

HEARTBEAT_MS: Final = 15_000


class Host(Protocol):
    """What clients can reach of the node."""

    told_in_memory: set[str]

    def connect(self, client: Client) -> Link | None: ...


class Client:
    """One user's program. All of its views go over one socket."""

    def __init__(
        self, name: str, clock: ManualClock, rng: Random, host: Host, disk: Disk, trace: list[Any]
    ) -> None:
        self.name = name
        self.views: list[View] = []
        self.link: Link | None = None
        self._clock = clock
        self._rng = rng
        self._host = host
        self._disk = disk
        self._trace = trace
        self._refs = 0
        self._by_join: dict[str, View] = {}

    # ---- what it wants

    def watch(self, known: Known) -> None:
        """Watches the task; a second view takes the place of the first, as in a new window."""
        for view in self.views:
            if view.known is known and not view.closed:
                return
        view = View(known)
        self.views.append(view)
        if self.link is None:
            self.connect()
        else:
            self._join(view)

    def leave(self, known: Known) -> None:
        """Stops watching."""
        for view in self.views:
            if view.known is known and not view.closed:
                self.views.remove(view)
                self._by_join.pop(view.join_ref, None)
                self._send(view.join_ref, known.task_id, "phx_leave", {})
                return

    def command(self, known: Known, event: str) -> None:
        """Pushes cancel or retry on the task's channel, if it is joined."""
        for view in self.views:
            if view.known is known and view.joined:
                self._send(view.join_ref, known.task_id, event, {})
                if event == "retry":
                    known.retries_sent += 1
                return

    def drop(self, known: Known) -> None:
        """The task is gone with the node's memory, as was said when it was accepted."""
        self.views = [view for view in self.views if view.known is not known]

    # ---- the socket

    def connect(self) -> None:
        """Opens the socket if somebody is watching; tries again until the node is there."""
        if self.link is not None or not any(not view.closed for view in self.views):
            return
        self.link = self._host.connect(self)
        if self.link is None:
            self._clock.call_after(self._rng.randrange(50, 400) * NS_PER_MS, self.connect)
            return
        self._by_join.clear()
        for view in self.views:
            if not view.closed:
                self._join(view)
        self._beat(self.link)

    def closed(self, link: Link, code: int | None) -> None:
        """The socket is over; see `Receiver`."""
        if link is not self.link:
            return
        self._trace.append((self._clock.now_ns(), "socket over", self.name, code))
        self.link = None
        for view in self.views:
            view.joined = False
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

    def _join(self, view: View) -> None:
        self._by_join.pop(view.join_ref, None)
        view.join_ref = self._ref()
        view.joined = False
        self._by_join[view.join_ref] = view
        self._send(view.join_ref, view.known.task_id, "phx_join", {"offset": len(view.text)})

    def _send(self, join_ref: str, task_id: str, event: str, payload: Any) -> None:
        ref = join_ref if event == "phx_join" else self._ref()
        self._send_raw([join_ref, ref, f"task:{task_id}", event, payload])

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
            view = self._by_join.get(join_ref) if join_ref is not None else None
            if view is None:
                continue
            self._trace.append(
                (self._clock.now_ns(), "heard", self.name, view.known.number, event, payload)
            )
            self._hear(view, ref, event, payload, sent_ns, durable)

    def _hear(
        self, view: View, ref: Any, event: str, payload: Any, sent_ns: int, durable: bool
    ) -> None:
        if event == "phx_reply":
            if ref == view.join_ref:
                self._answered(view, payload, sent_ns, durable)
        elif event == "phx_close":
            view.close()
        elif event == "phx_error":
            view.joined = False
            self._rejoin(view)
        elif event == "progress":
            if payload["phase"] == "catch_up":
                view.seq = payload["seq"]
            else:
                view.number(payload.get("from_seq", payload["seq"]), payload["seq"])
            view.progress(payload["offset"], payload["delta"], self._clock.now_ns())
        elif event == "rewind":
            view.rewind(payload["offset"], payload["seq"])
        else:
            # Who comes to a task that has ended hears its last event once more.
            if event not in STATES or payload["seq"] != view.seq:
                view.number(payload["seq"], payload["seq"])
            if event in STATES:
                text = payload["result"]["text"] if event == "completed" else None
                self._told_end(view.known, End(STATES[event], text), sent_ns, durable)
                view.ended(End(STATES[event], text))

    def _answered(self, view: View, payload: Any, sent_ns: int, durable: bool) -> None:
        response = payload["response"]
        if payload["status"] != "ok":
            if response.get("reason") == "not found":
                raise Violation("never lost", f"{view} could not join: {response}")
            self._rejoin(view)
            return
        document = response["task"]
        view.begin(response["offset"], response["delta"], document["seq"])
        if document["state"] in TERMINAL:
            # The text of a long result is in pages, and then it is not in the document.
            result = document["result"]
            end = End(document["state"], result["text"] if result else None)
            self._told_end(view.known, end, sent_ns, durable)
            view.ended(end)

    def _told_end(self, known: Known, end: End, sent_ns: int, durable: bool) -> None:
        """An end was announced: it had to be on the disk by then, if the disk worked."""
        ended_ns = self._disk.ended_ns.get(known.task_id)
        durable = durable and known.task_id not in self._host.told_in_memory
        if durable and not known.retries_sent and (ended_ns is None or ended_ns > sent_ns):
            raise Violation("commit first", f"task {known.number} was told as {end} too early")

    def _rejoin(self, view: View) -> None:
        def again() -> None:
            if self.link is not None and view in self.views and not view.joined:
                self._join(view)

        self._clock.call_after(self._rng.randrange(10, 200) * NS_PER_MS, again)
