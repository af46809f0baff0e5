"""The socket's machine under any sequence of frames and reports: a model client checks each frame.

The properties: every message with a reference of its own is answered at most once; a subscription
says nothing before its join's reply; nothing of an old one but its `phx_close` follows the reply to
a newer join; each joined subscription ends at most once; what is bounded stays bounded.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.phoenix import (
    V2,
    Broadcast,
    CloseSocket,
    Deliver,
    Effect,
    LeaveChannel,
    Message,
    Reply,
    Router,
    Socket,
    StartChannel,
    StopChannel,
    Subscription,
)

TOPICS = ["room:a", "room:b", "room:c", "other"]
TOPICS_MAX = 2
WAITING_MAX = 4


class SocketMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        router = Router([("room:*", "rooms")])
        self.socket: Socket[str] = Socket(
            V2, router, topics_max=TOPICS_MAX, waiting_frames_max=WAITING_MAX
        )
        self.ref = 0
        self.running: list[Subscription] = []
        self.leaving: list[Subscription] = []
        self.asked: dict[str, str] = {}  # references without an answer yet: what they were
        self.current: dict[str, str] = {}  # topic: join_ref of the last accepted join
        self.ended: set[str] = set()
        self.closed = False

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, StartChannel):
                self.running.append(effect.subscription)
            elif isinstance(effect, StopChannel):
                self.running.remove(effect.subscription)
                if effect.subscription in self.leaving:
                    self.leaving.remove(effect.subscription)
            elif isinstance(effect, LeaveChannel):
                assert effect.subscription in self.running
                self.leaving.append(effect.subscription)
            elif isinstance(effect, Deliver):
                assert effect.subscription in self.running
                assert not effect.event.startswith("phx_")
            elif isinstance(effect, CloseSocket):
                assert not self.closed
                self.closed = True
            else:
                self.check_frame(effect)

    def check_frame(self, frame: Effect) -> None:
        assert not self.closed or isinstance(frame, Reply)
        if isinstance(frame, Reply):
            kind = self.asked.pop(frame.ref)  # KeyError: answered twice, or never asked
            if kind == "phx_join" and frame.status == "ok":
                self.current[frame.topic] = frame.ref
        elif isinstance(frame, Message) and frame.event in ("phx_close", "phx_error"):
            assert frame.ref == frame.join_ref
            assert frame.join_ref not in self.ended
            self.ended.add(frame.join_ref)
            if self.current.get(frame.topic) == frame.join_ref:
                del self.current[frame.topic]
        elif isinstance(frame, Message):
            assert self.current[frame.topic] == frame.join_ref
        else:
            assert isinstance(frame, Broadcast)
            assert frame.topic in self.current

    def send(self, join_ref: str | None, topic: str, event: str) -> None:
        self.ref += 1
        ref = str(self.ref)
        if event == "phx_join":
            join_ref = ref
        self.asked[ref] = event
        self.carry_out(self.socket.receive(Message(join_ref, ref, topic, event, {})))

    @rule(topic=st.sampled_from(TOPICS))
    def join(self, topic: str) -> None:
        self.send(None, topic, "phx_join")

    @rule(
        topic=st.sampled_from([*TOPICS, "phoenix"]),
        event=st.sampled_from(["phx_leave", "new", "phx_reply", "heartbeat"]),
        back=st.none() | st.integers(0, 3),
    )
    def message(self, topic: str, event: str, back: int | None) -> None:
        """With no join_ref, or that of a recent message: sometimes right, sometimes stale."""
        self.send(None if back is None else str(max(0, self.ref - back)), topic, event)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(["decide", "refuse", "crashed", "ended"]))
    def report(self, data: st.DataObject, how: str) -> None:
        subscription = data.draw(st.sampled_from(self.running))
        undecided = subscription.undecided
        if how == "decide" and undecided:
            self.carry_out(self.socket.joined(subscription, {}))
        elif how == "refuse" and undecided:
            self.running.remove(subscription)
            self.carry_out(self.socket.refused(subscription, {}))
        elif how in ("crashed", "ended"):
            self.running.remove(subscription)
            if subscription in self.leaving:
                self.leaving.remove(subscription)
            self.carry_out(getattr(self.socket, how)(subscription))

    @precondition(lambda self: self.leaving)
    @rule(data=st.data())
    def left(self, data: st.DataObject) -> None:
        subscription = data.draw(st.sampled_from(self.leaving))
        self.leaving.remove(subscription)
        self.running.remove(subscription)
        self.carry_out(self.socket.left(subscription))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), shared=st.booleans())
    def say(self, data: st.DataObject, shared: bool) -> None:
        subscription = data.draw(st.sampled_from(self.running))
        if shared:
            message = Broadcast(subscription.topic, "shout", {})
            self.carry_out(list(self.socket.broadcast(subscription, message)))
        else:
            self.carry_out(list(self.socket.push(subscription, "said", {})))

    @rule(garbage=st.sampled_from(["", "{}", "nonsense"]), really=st.integers(0, 20))
    def break_it(self, garbage: str, really: int) -> None:
        if really == 0:
            self.carry_out(self.socket.receive_text(garbage))
            self.asked.clear()
            self.current.clear()

    @invariant()
    def bounds_hold(self) -> None:
        assert self.socket.topics <= TOPICS_MAX
        assert self.socket.topics == len(self.running)
        assert all(len(each.waiting or ()) <= WAITING_MAX for each in self.running)
        if self.closed:
            assert not self.running


TestSocketMachine = SocketMachine.TestCase
TestSocketMachine.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
