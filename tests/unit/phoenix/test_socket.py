"""The socket's machine, driven by hand: frames in, effects out."""

from __future__ import annotations

import pytest

from edge.phoenix import (
    V2,
    Broadcast,
    CloseSocket,
    Deliver,
    Effect,
    Encoded,
    IllegalTransition,
    LeaveChannel,
    MergeablePush,
    Message,
    Reply,
    Router,
    Socket,
    StartChannel,
    State,
    StopChannel,
    Subscription,
)
from edge.phoenix.socket import HELD_MESSAGES_MAX


class Desk:
    """A socket, and the channels it started."""

    def __init__(self, topics_max: int = 100) -> None:
        router = Router([("room:*", "rooms")])
        self.socket: Socket[str] = Socket(V2, router, topics_max=topics_max, waiting_frames_max=3)

    def send(
        self, join_ref: object, ref: object, topic: object, event: object, payload: object = None
    ) -> list[Effect]:
        return self.socket.receive(Message(join_ref, ref, topic, event, payload or {}))

    def start(self, join_ref: object = "1", topic: str = "room:a") -> Subscription:
        effects = self.send(join_ref, join_ref, topic, "phx_join")
        start = effects[-1]
        assert isinstance(start, StartChannel)
        return start.subscription

    def join(self, join_ref: object = "1", topic: str = "room:a") -> Subscription:
        subscription = self.start(join_ref, topic)
        self.socket.joined(subscription, {})
        return subscription


@pytest.fixture
def desk() -> Desk:
    return Desk()


def ok(join_ref: object, ref: object, topic: str = "room:a", **response: object) -> Reply:
    return Reply(join_ref, ref, topic, "ok", response)


def error(join_ref: object, ref: object, topic: object, reason: str) -> Reply:
    return Reply(join_ref, ref, topic, "error", {"reason": reason})


def close(join_ref: object, topic: str = "room:a") -> Message:
    return Message(join_ref, join_ref, topic, "phx_close", {})


CRASH = {"reason": "channel_crash"}


class TestWithoutAChannel:
    def test_heartbeat_echoes_the_ref_alone(self, desk: Desk) -> None:
        assert desk.send("9", 7, "phoenix", "heartbeat", {"x": 1}) == [ok(None, 7, "phoenix")]

    @pytest.mark.parametrize("topic", ["nope", "phoenix", 5, None, ["room:a"], {"a": 1}])
    @pytest.mark.parametrize("event", ["phx_join", "new", 7, ["phx_leave"]])
    def test_unmatched(self, desk: Desk, topic: object, event: object) -> None:
        assert desk.send("1", "2", topic, event) == [error(None, "2", topic, "unmatched topic")]

    @pytest.mark.parametrize("topic", ["room:a", "nope"])
    def test_leave_of_a_free_topic(self, desk: Desk, topic: str) -> None:
        assert desk.send("1", "2", topic, "phx_leave") == [ok("1", "2", topic)]

    def test_unreadable_frame_closes(self, desk: Desk) -> None:
        subscription = desk.join()
        effects = desk.socket.receive_text("not json")
        assert isinstance(effects[0], StopChannel)
        assert effects[0].subscription is subscription
        assert isinstance(effects[1], CloseSocket)
        assert effects[1].code == 1011
        assert desk.socket.receive_text('[null,"1","phoenix","heartbeat",{}]') == []
        assert desk.socket.receive_binary(b"") == []

    def test_frames_of_both_kinds_are_read(self, desk: Desk) -> None:
        heartbeat = bytes.fromhex("00000107093970686f656e6978686561727462656174")
        assert desk.socket.receive_binary(heartbeat) == [ok(None, "9", "phoenix")]
        assert desk.socket.receive_text('[null,7,"phoenix","heartbeat",{}]') == [
            ok(None, 7, "phoenix")
        ]


class TestJoin:
    def test_accepted(self, desk: Desk) -> None:
        effects = desk.send("11", "1", "room:a", "phx_join", {"k": 1})
        assert isinstance(effects[0], StartChannel)
        start = effects[0]
        assert (start.handler, start.payload) == ("rooms", {"k": 1})
        assert desk.socket.joined(start.subscription, {"n": 2}) == [ok("11", "1", n=2)]
        assert start.subscription.state is State.JOINED
        assert desk.socket.topics == 1

    def test_refused_leaves_nothing(self, desk: Desk) -> None:
        subscription = desk.start()
        refusal = desk.socket.refused(subscription, {"reason": "no"})
        assert refusal == [error("1", "1", "room:a", "no")]
        assert desk.send("1", "2", "room:a", "new") == [
            error(None, "2", "room:a", "unmatched topic")
        ]
        assert desk.socket.topics == 0

    @pytest.mark.parametrize("how", ["crashed", "ended"])
    def test_crash_in_the_join_is_an_error_reply(self, desk: Desk, how: str) -> None:
        subscription = desk.start()
        effects = getattr(desk.socket, how)(subscription)
        assert effects == [error("1", "1", "room:a", "join crashed")]

    def test_without_join_ref_the_ref_takes_its_place(self, desk: Desk) -> None:
        effects = desk.send(None, "5", "room:a", "phx_join")
        assert isinstance(effects[0], StartChannel)
        subscription = effects[0].subscription
        assert desk.socket.joined(subscription, {}) == [ok(None, "5")]
        assert desk.socket.push(subscription, "x", {}) == (Message("5", None, "room:a", "x", {}),)
        assert desk.socket.ended(subscription) == [close("5")]

    def test_limit(self) -> None:
        desk = Desk(topics_max=2)
        desk.join("1", "room:1")
        old = desk.join("2", "room:2")
        assert desk.send("3", "3", "room:3", "phx_join") == [
            error("3", "3", "room:3", "too many channels joined")
        ]
        again = desk.send("4", "4", "room:2", "phx_join")
        assert again[0] == StopChannel(old, "duplicate join")

    def test_is_decided_once(self, desk: Desk) -> None:
        subscription = desk.join()
        with pytest.raises(IllegalTransition):
            desk.socket.joined(subscription, {})
        with pytest.raises(IllegalTransition):
            desk.socket.refused(subscription, {})
        assert subscription.state is State.JOINED


class TestWhileJoining:
    def test_later_frames_wait_in_order(self, desk: Desk) -> None:
        subscription = desk.start()
        assert desk.send("1", "2", "room:a", "one") == []
        assert desk.send("1", "3", "room:a", "two") == []
        assert desk.send(None, "4", "phoenix", "heartbeat") == [ok(None, "4", "phoenix")]
        assert desk.socket.joined(subscription, {}) == [
            ok("1", "1"),
            Deliver(subscription, "one", {}, "2"),
            Deliver(subscription, "two", {}, "3"),
        ]

    def test_what_waits_is_bounded(self, desk: Desk) -> None:
        desk.start()
        for ref in "234":
            assert desk.send("1", ref, "room:a", "x") == []
        assert desk.send("1", "5", "room:a", "x") == [
            error("1", "5", "room:a", "too many messages before the join")
        ]

    def test_frames_behind_a_refused_join_are_unmatched(self, desk: Desk) -> None:
        subscription = desk.start()
        desk.send("1", "2", "room:a", "x")
        assert desk.socket.refused(subscription, {"reason": "no"}) == [
            error("1", "1", "room:a", "no"),
            error(None, "2", "room:a", "unmatched topic"),
        ]

    def test_another_join_and_what_follows_it_wait(self, desk: Desk) -> None:
        first = desk.start("1")
        assert desk.send("2", "2", "room:a", "phx_join") == []
        assert desk.send("2", "3", "room:a", "x") == []
        effects = desk.socket.joined(first, {})
        assert effects[:2] == [ok("1", "1"), StopChannel(first, "duplicate join")]
        assert isinstance(effects[2], StartChannel)
        second = effects[2].subscription
        assert len(effects) == 3
        assert desk.socket.joined(second, {}) == [
            ok("2", "2"),
            close("1"),
            Deliver(second, "x", {}, "3"),
        ]

    def test_what_the_channel_says_follows_the_reply(self, desk: Desk) -> None:
        subscription = desk.start()
        shout = Broadcast("room:a", "shout", {})
        assert desk.socket.broadcast(subscription, shout) == []
        assert desk.socket.push(subscription, "hello", {}) == []
        assert desk.socket.reply(subscription, "9", "ok", {}) == []
        assert desk.socket.joined(subscription, {}) == [
            ok("1", "1"),
            shout,
            Message("1", None, "room:a", "hello", {}),
            ok("1", "9"),
        ]

    def test_what_is_held_is_bounded(self, desk: Desk) -> None:
        subscription = desk.start()
        for _ in range(HELD_MESSAGES_MAX):
            assert desk.socket.push(subscription, "x", {}) == []
        effects = desk.socket.push(subscription, "x", {})
        assert isinstance(effects[0], StopChannel)
        assert effects[1] == error("1", "1", "room:a", "join crashed")


class TestJoined:
    @pytest.mark.parametrize(
        ("held", "sent", "is_stale"),
        [("1", "0", True), ("1", "1", False), ("1", None, False), (1, "1", True), (1, 1, False),
         (1, True, True), ("1", "", True)],
    )  # fmt: skip
    def test_stale_join_refs_are_dropped(
        self, desk: Desk, held: object, sent: object, is_stale: bool
    ) -> None:
        subscription = desk.join(held)
        expected = [] if is_stale else [Deliver(subscription, "x", {}, "2")]
        assert desk.send(sent, "2", "room:a", "x") == expected
        assert (desk.send(sent, "3", "room:a", "phx_leave") == []) == is_stale

    @pytest.mark.parametrize("event", ["phx_reply", "phx_close", "phx_error", "phx_", 7, ["x"]])
    def test_reserved_events_are_not_delivered(self, desk: Desk, event: object) -> None:
        desk.join()
        (reply,) = desk.send("1", "2", "room:a", event)
        assert isinstance(reply, Reply)
        assert isinstance(reply.response, Encoded)
        assert (reply.status, reply.response.json) == ("error", b'{"reason":"unhandled event"}')

    def test_crash(self, desk: Desk) -> None:
        subscription = desk.join()
        assert desk.socket.crashed(subscription) == [
            Message("1", "1", "room:a", "phx_error", CRASH)
        ]
        assert desk.socket.topics == 0

    def test_end(self, desk: Desk) -> None:
        assert desk.socket.ended(desk.join()) == [close("1")]

    def test_sends(self, desk: Desk) -> None:
        subscription = desk.join()
        shout = Broadcast("room:a", "shout", {})
        assert desk.socket.broadcast(subscription, shout) == (shout,)
        assert desk.socket.reply(subscription, "4", "wait", b"1") == (
            Reply("1", "4", "room:a", "wait", b"1"),
        )

    def test_mergeable(self, desk: Desk) -> None:
        class Never:
            size_bytes = 2

            def merge(self, later: Never) -> None:
                return None

            def encode(self) -> Encoded:
                return Encoded(b"{}")

        (effect,) = desk.socket.push_mergeable(desk.join(), "x", Never())
        assert isinstance(effect, MergeablePush)
        assert V2.encode(effect.message()).data == b'["1",null,"room:a","x",{}]'


class TestRejoin:
    def test_reply_then_close_of_the_old_one(self, desk: Desk) -> None:
        old = desk.join("1")
        new = desk.start("2")
        assert old.state is State.FREE
        assert desk.socket.push(old, "late", {}) == ()
        assert desk.socket.crashed(old) == []
        assert desk.socket.joined(new, {}) == [ok("2", "2"), close("1")]

    def test_refused(self, desk: Desk) -> None:
        desk.join("1")
        new = desk.start("2")
        assert desk.socket.refused(new, {"reason": "no"}) == [
            error("2", "2", "room:a", "no"),
            close("1"),
        ]


class TestLeave:
    def test_goes_behind_what_was_delivered(self, desk: Desk) -> None:
        subscription = desk.join()
        assert desk.send(None, "2", "room:a", "phx_leave") == [LeaveChannel(subscription)]
        assert desk.socket.reply(subscription, "0", "ok", {}) == (ok("1", "0"),)
        assert desk.socket.left(subscription) == [ok("1", "2"), close("1")]
        assert desk.socket.left(subscription) == []

    def test_again_while_leaving(self, desk: Desk) -> None:
        desk.join()
        desk.send("1", "2", "room:a", "phx_leave")
        assert desk.send("1", "3", "room:a", "phx_leave") == [ok("1", "3")]
        assert desk.send("0", "4", "room:a", "phx_leave") == []

    def test_join_behind_a_leave_is_answered_after_it(self, desk: Desk) -> None:
        old = desk.join("1")
        desk.send("1", "2", "room:a", "phx_leave")
        assert desk.send("3", "3", "room:a", "phx_join") == []
        effects = desk.socket.left(old)
        assert effects[:2] == [ok("1", "2"), close("1")]
        assert isinstance(effects[2], StartChannel)
        assert desk.socket.joined(effects[2].subscription, {}) == [ok("3", "3")]

    @pytest.mark.parametrize("how", ["crashed", "ended"])
    def test_is_answered_however_the_channel_ends(self, desk: Desk, how: str) -> None:
        subscription = desk.join()
        desk.send("1", "2", "room:a", "phx_leave")
        assert getattr(desk.socket, how)(subscription) == [ok("1", "2"), close("1")]

    def test_nobody_asked(self, desk: Desk) -> None:
        with pytest.raises(IllegalTransition):
            desk.socket.left(desk.join())


class TestClose:
    def test_stops_all_channels_and_says_nothing_per_channel(self, desk: Desk) -> None:
        joined, joining = desk.join("1", "room:a"), desk.start("2", "room:b")
        assert desk.socket.close(1012, "restart") == [
            StopChannel(joined, "restart"),
            StopChannel(joining, "restart"),
            CloseSocket(1012, "restart"),
        ]
        assert desk.socket.close(1001, "again") == []
        assert desk.socket.joined(joining, {}) == []
        assert desk.send("3", "3", "room:c", "phx_join") == []

    def test_lost(self, desk: Desk) -> None:
        subscription = desk.join()
        assert desk.socket.lost("gone") == [StopChannel(subscription, "gone")]
        assert desk.socket.lost("gone") == []
