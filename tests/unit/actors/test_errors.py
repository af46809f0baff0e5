from __future__ import annotations

from edge.actors import KILLED, ActorDown, AlreadyRegistered, CallTimeout
from edge.errors import ElwiftError


def test_errors_say_who_and_why() -> None:
    down = ActorDown("engine", KILLED)
    assert down.reason is KILLED
    assert "engine" in str(down)
    assert "killed" in str(down)
    late = CallTimeout("engine", 1_500)
    assert late.deadline_ms == 1_500
    assert "1500 ms" in str(late)


def test_errors_belong_to_the_tree_of_the_house_with_codes_of_their_own() -> None:
    codes = {error.code for error in (ActorDown, AlreadyRegistered, CallTimeout)}
    assert len(codes | {ElwiftError.code}) == 4
    assert issubclass(AlreadyRegistered, ValueError)
