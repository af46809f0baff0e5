"""Channels on the real actor system and the real socket machine, without a connection."""

from __future__ import annotations

from typing import Any

import pytest

from edge.clock import NS_PER_MS
from edge.phoenix import Encoded, Json
from edge.services.watchers.channel import (
    JOIN_MS_MAX,
    LATER,
    MAILBOX_MESSAGES_MAX,
    Answer,
    Channel,
    Decision,
    Error,
    Ok,
    Stop,
)
from edge.telemetry.events import Event
from tests.support.sockets import Client, House


class Word:
    size_bytes = 1

    def merge(self, later: Word) -> Word:
        return later

    def encode(self) -> Encoded:
        return Encoded(b'{"word":1}')


class Room(Channel):
    """Does what the join's payload says."""

    def __init__(self) -> None:
        self.ended_with: list[str] = ENDED
        self.ref_kept: Json = None

    def join(self, topic: str, payload: Any) -> Decision:
        match payload:
            case "refuse":
                return Error({"reason": "no"})
            case "later":
                return LATER
            case "crash":
                raise RuntimeError("asked to")
            case "nonsense":
                return "yes"  # type: ignore[return-value] # a defect of the application
            case "talk":
                self.push("hello", {})
                self.broadcast("all", {})
        return Ok({"topic": topic, "client": self.client})

    def handle_in(self, event: str, payload: Any, ref: Json) -> Answer:
        match event:
            case "echo":
                return Ok(payload)
            case "fail":
                return Error({"reason": "bad"})
            case "defer":
                self.ref_kept = ref
                return None
            case "stop":
                return Stop(Ok({"bye": True}))
            case "crash":
                raise RuntimeError("asked to")
            case "shout":
                self.broadcast("shout", payload)
                return Ok()
            case "merge":
                self.push_mergeable("word", Word())
                return None
            case "nonsense":
                return 7  # type: ignore[return-value] # a defect of the application
        return super().handle_in(event, payload, ref)

    def handle_info(self, message: object) -> None:
        match message:
            case "accept":
                self.accept({"late": True})
            case "refuse":
                self.refuse({"reason": "late"})
            case "finish":
                self.finish()
            case _:
                self.reply(self.ref_kept, Ok({"info": message}))

    def terminate(self, reason: str) -> None:
        self.ended_with.append(reason)


ENDED: list[str] = []
CRASHED = '["1","1","room:a","phx_error",{"reason":"channel_crash"}]'
CLOSED = '["1","1","room:a","phx_close",{}]'


@pytest.fixture
def house() -> House:
    ENDED.clear()
    return House(("room:*", Room))


@pytest.fixture
def client(house: House) -> Client:
    return Client(house)


def reply(ref: str, response: str, status: str = "ok") -> str:
    return f'["1","{ref}","room:a","phx_reply",{{"status":"{status}","response":{response}}}]'


def join(client: Client, payload: Any = None) -> list[str]:
    client.send("1", "phx_join", payload)
    return client.run()


def tell(house: House, message: object) -> None:
    """Sends to the one channel that runs."""
    (name,) = house.system.registry.names("channel:")
    ref = house.system.registry.whereis(name)
    assert ref is not None
    assert ref.send(message)


class TestJoin:
    def test_accepted(self, house: House, client: Client) -> None:
        assert join(client) == [reply("1", '{"topic":"room:a","client":"somebody"}')]
        assert house.system.registry.names() == ["channel:1"]
        assert Event("channel.joined", {}, {"topic": "room:a"}) in house.events

    def test_refused_leaves_nothing(self, house: House, client: Client) -> None:
        assert join(client, "refuse") == [reply("1", '{"reason":"no"}', "error")]
        assert house.system.registry.names() == []
        assert house.pubsub.subscribers("room:a") == 0
        assert ENDED == ["normal"]

    @pytest.mark.parametrize("payload", ["crash", "nonsense"])
    def test_crashed(self, house: House, client: Client, payload: str) -> None:
        assert join(client, payload) == [reply("1", '{"reason":"join crashed"}', "error")]
        assert house.pubsub.subscribers("room:a") == 0
        assert "channel.crashed" in [event.name for event in house.events]

    def test_what_it_says_follows_the_reply(self, client: Client) -> None:
        frames = join(client, "talk")
        assert frames[0].startswith('["1","1","room:a","phx_reply"')
        assert frames[1:] == ['["1",null,"room:a","hello",{}]', '[null,null,"room:a","all",{}]']

    @pytest.mark.parametrize(
        ("decision", "answer"),
        [
            ("accept", reply("1", '{"late":true}')),
            ("refuse", reply("1", '{"reason":"late"}', "error")),
        ],
    )
    def test_decided_later(self, house: House, client: Client, decision: str, answer: str) -> None:
        assert join(client, "later") == []
        house.pubsub.broadcast("room:a", "meanwhile", {})
        tell(house, decision)
        frames = client.run()
        assert frames[0] == answer
        assert len(frames) == (2 if decision == "accept" else 1)
        house.clock.advance(JOIN_MS_MAX * NS_PER_MS)
        assert client.run() == []

    def test_never_decided(self, house: House, client: Client) -> None:
        join(client, "later")
        house.clock.advance(JOIN_MS_MAX * NS_PER_MS)
        assert client.run() == [reply("1", '{"reason":"join crashed"}', "error")]
        assert house.clock.timers_pending() == 0


class TestAnswers:
    @pytest.mark.parametrize(
        ("event", "answer"),
        [
            ("echo", reply("2", '{"n":1}')),
            ("fail", reply("2", '{"reason":"bad"}', "error")),
            ("unknown", reply("2", '{"reason":"unhandled event"}', "error")),
        ],
    )
    def test_at_once(self, client: Client, event: str, answer: str) -> None:
        join(client)
        client.send("2", event, {"n": 1})
        assert client.run() == [answer]

    def test_later(self, house: House, client: Client) -> None:
        join(client)
        client.send("2", "defer")
        assert client.run() == []
        tell(house, 5)
        assert client.run() == [reply("2", '{"info":5}')]

    def test_mergeable(self, client: Client) -> None:
        join(client)
        client.send("2", "merge")
        assert client.run() == ['["1",null,"room:a","word",{"word":1}]']

    def test_broadcasts(self, house: House, client: Client) -> None:
        other = Client(house, "other")
        join(client)
        join(other)
        client.send("2", "shout", {"m": 1})
        assert client.run() == ['[null,null,"room:a","shout",{"m":1}]', reply("2", "{}")]
        assert other.run() == [
            '[null,null,"room:a","shout",{"m":1}]',
        ]


class TestEnds:
    def test_stop_with_an_answer(self, house: House, client: Client) -> None:
        join(client)
        client.send("2", "stop")
        assert client.run() == [reply("2", '{"bye":true}'), CLOSED]
        assert house.system.registry.names() == []
        assert house.pubsub.subscribers("room:a") == 0
        assert ENDED == ["normal"]

    def test_finish(self, house: House, client: Client) -> None:
        join(client)
        tell(house, "finish")
        assert client.run() == [CLOSED]

    @pytest.mark.parametrize("event", ["crash", "nonsense"])
    def test_crash(self, house: House, client: Client, event: str) -> None:
        join(client)
        client.send("2", event)
        assert client.run() == [CRASHED]
        assert ENDED[0].startswith("crash: ")
        assert join(client) == [reply("1", '{"topic":"room:a","client":"somebody"}')]

    def test_leave_goes_behind_what_was_sent_before(self, house: House, client: Client) -> None:
        join(client)
        client.send("2", "echo", {})
        client.send("3", "phx_leave")
        assert client.run() == [reply("2", "{}"), reply("3", "{}"), CLOSED]
        assert house.pubsub.subscribers("room:a") == 0

    def test_flood_ends_the_channel_alone(self, house: House, client: Client) -> None:
        other = Client(house, "other")
        join(client)
        join(other)
        for number in range(MAILBOX_MESSAGES_MAX + 1):
            client.send(str(number), "defer")
        assert client.run() == [CRASHED]
        other.send("2", "echo", {})
        assert other.run() == [reply("2", "{}")]

    def test_lost_connection(self, house: House, client: Client) -> None:
        join(client)
        client.lose()
        assert client.run() == []
        assert ENDED == ["gone"]
        assert house.system.registry.names() == []

    def test_duplicate_join(self, house: House, client: Client) -> None:
        join(client)
        client.send("2", "echo", {})
        client.send("3", "phx_join", join_ref="3")
        frames = client.run()
        assert frames[0].startswith('["3","3","room:a","phx_reply"')
        assert frames[1:] == [CLOSED]
        assert ENDED == ["duplicate join"]
        assert house.pubsub.subscribers("room:a") == 1
