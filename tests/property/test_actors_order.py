"""Whatever the load and the limits: one sender's messages arrive in their order, each once."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.actors import Actor, Ref, System
from edge.clock import ManualClock

SENDERS = 4
RECEIVERS = 3


class Receiver(Actor):
    def __init__(self) -> None:
        self.heard: list[tuple[int, int]] = []

    def handle(self, message: object) -> None:
        assert isinstance(message, tuple)
        self.heard.append(message)


class Sender(Actor):
    """Told of a receiver, sends it its next number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sent: dict[Ref, int] = {}

    def handle(self, message: object) -> None:
        assert isinstance(message, Ref)
        count = self.sent.get(message, 0)
        self.sent[message] = count + 1
        assert message.send((self.number, count))


@settings(deadline=None, max_examples=60)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, SENDERS - 1), st.integers(0, RECEIVERS - 1), st.booleans()),
        max_size=120,
    ),
    turn_messages_max=st.integers(1, 5),
    pump_messages_max=st.integers(1, 20),
)
def test_order_for_each_pair(
    steps: list[tuple[int, int, bool]], turn_messages_max: int, pump_messages_max: int
) -> None:
    scheduled: list[Callable[[], None]] = []
    system = System(
        ManualClock(),
        scheduled.append,
        turn_messages_max=turn_messages_max,
        pump_messages_max=pump_messages_max,
    )
    senders = [Sender(number) for number in range(SENDERS)]
    sender_refs = [system.spawn(sender) for sender in senders]
    receivers = [Receiver() for _ in range(RECEIVERS)]
    receiver_refs = [system.spawn(receiver) for receiver in receivers]
    for sender_index, receiver_index, pump in steps:
        sender_refs[sender_index].send(receiver_refs[receiver_index])
        if pump and scheduled:
            scheduled.pop(0)()
    while scheduled:
        scheduled.pop(0)()
    for receiver, ref in zip(receivers, receiver_refs, strict=True):
        for sender in senders:
            numbers = [count for number, count in receiver.heard if number == sender.number]
            assert numbers == list(range(sender.sent.get(ref, 0)))
    assert sum(len(receiver.heard) for receiver in receivers) == len(steps)
    assert not system.run_queue


@settings(deadline=None, max_examples=60)
@given(bursts=st.lists(st.integers(0, 12), max_size=20), limit=st.integers(1, 10))
def test_a_mailbox_never_holds_more_than_its_limit(bursts: list[int], limit: int) -> None:
    system = System(ManualClock(), lambda _pump: None, mailbox_messages_max=limit)
    receiver = Receiver()
    ref = system.spawn(receiver)
    accepted = 0
    for burst in bursts:
        taken = [ref.send((0, number)) for number in range(burst)]
        if burst > limit or not ref.alive:
            assert not ref.alive
            assert ref.mailbox_messages == 0
            break
        assert all(taken)
        accepted += burst
        assert ref.mailbox_peak >= burst
        system.run_pending()
        assert len(receiver.heard) == accepted
    system.run_pending()
    assert ref.mailbox_peak <= limit
