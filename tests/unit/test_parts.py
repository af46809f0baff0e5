"""How large mailboxes are. The node's parts as a whole are tried in tests/integration, and in
tests/simulation."""

from __future__ import annotations

import pytest

from edge.engine.messages import Output, Step, encode
from edge.parts import READ_BYTES_MAX, STEP_BYTES_MIN, mailbox_messages_max
from edge.services.task.tasks import RECOVER_BATCH
from edge.settings import Settings


@pytest.mark.parametrize("connections_max", [16, 16_384, 1_000_000])
def test_half_of_a_mailbox_holds_what_comes_from_outside(connections_max: int) -> None:
    settings = Settings()
    settings.server.connections_max = connections_max
    half = mailbox_messages_max(settings) // 2
    assert half >= 2 * connections_max
    assert half >= 2 * RECOVER_BATCH
    assert half >= READ_BYTES_MAX // STEP_BYTES_MIN


def test_no_step_is_shorter() -> None:
    shortest = Step(1, (), (Output(1, 1, (1,), "a"),), (), 1, 0, 1, 1)
    assert len(encode(shortest)) == STEP_BYTES_MIN
