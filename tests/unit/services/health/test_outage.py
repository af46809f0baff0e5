"""When an engine that is down becomes an outage."""

from __future__ import annotations

import pytest

from edge.actors import Ref
from edge.engine.messages import Ready
from edge.inference import EngineDown, EngineGivenUp, EngineUp, Subscribe
from edge.services.health.outage import OutageWatch
from tests.support.ears import Ear, Quiet

UP = EngineUp(Ready("scripted", 0, 0, 100, 4_096, 4, False, "a script", False))
LIMIT_MS = 1_000


class Post(Quiet):
    """A watch between an engine that only listens and somebody who is told."""

    def __init__(self) -> None:
        super().__init__()
        self.engine, self.engine_ref = self.ear("engine")
        self.told: list[bool] = []
        self.watch: Ref = self.system.spawn(
            OutageWatch("engine", self.told.append, LIMIT_MS, self.news.telemetry)
        )
        self.work()

    def tell(self, *messages: object) -> None:
        for message in messages:
            self.watch.send(message)
        self.work()


@pytest.fixture
def post() -> Post:
    return Post()


def test_it_is_one_after_the_limit_and_over_when_the_engine_is_up(post: Post) -> None:
    post.tell(UP, EngineDown("it died", 100))
    post.advance(LIMIT_MS - 1)
    # That it was tried again and again in between changes nothing.
    post.tell(EngineDown("loading", 0))
    assert post.told == [False]
    post.advance(1)
    assert post.told == [False, True]
    assert post.news.of("fallback.opened")[0].fields == {"reason": "loading"}
    post.tell(UP)
    assert post.told == [False, True, False]
    assert len(post.news.of("fallback.closed")) == 1


def test_an_engine_that_comes_back_in_time_is_none(post: Post) -> None:
    post.tell(UP, EngineDown("it died", 100))
    post.advance(LIMIT_MS - 1)
    post.tell(UP)
    post.advance(LIMIT_MS)
    assert post.told == [False]


def test_one_that_was_given_up_is_not_waited_for(post: Post) -> None:
    post.tell(EngineDown("loading", 0), EngineGivenUp("no model"))
    assert post.told == [True]
    # It is tried again in a while; until it is up it is out.
    post.tell(EngineDown("loading", 0))
    post.advance(LIMIT_MS)
    post.tell(EngineGivenUp("no model"))
    assert post.told == [True]


def test_a_stop_on_purpose_is_none(post: Post) -> None:
    post.tell(UP, EngineDown("it was stopped", None))
    post.advance(LIMIT_MS)
    assert post.told == [False]


def test_the_successor_of_the_engines_actor_is_listened_to(post: Post) -> None:
    assert len(post.engine.of(Subscribe)) == 1
    successor = Ear()
    post.engine_ref.kill()
    post.engine_ref.add_watcher(_Succeed(post, successor))
    post.work()
    assert len(successor.of(Subscribe)) == 1


class _Succeed:
    """Starts a successor under the name before anybody handles the end, as a supervisor would."""

    def __init__(self, post: Post, successor: Ear) -> None:
        self._post = post
        self._successor = successor

    def down(self, _ref: Ref, _reason: object) -> None:
        self._post.system.spawn(self._successor, name="engine")
