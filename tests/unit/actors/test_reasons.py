from __future__ import annotations

import pytest

from edge.actors import KILLED, NORMAL, SHUTDOWN, Crash, Exhausted, MailboxOverflow, Reason


@pytest.mark.parametrize(
    ("reason", "abnormal"),
    [
        (NORMAL, False),
        (SHUTDOWN, False),
        (KILLED, True),
        (Crash(ValueError("no")), True),
        (MailboxOverflow(7), True),
        (Exhausted("child"), True),
    ],
    ids=str,
)
def test_only_an_end_that_was_not_meant_is_abnormal(reason: Reason, abnormal: bool) -> None:
    assert reason.abnormal is abnormal


def test_a_reason_says_in_words_what_happened() -> None:
    assert str(Crash(ValueError("no"))) == "crash: ValueError: no"
    assert str(MailboxOverflow(7)) == "mailbox overflow at 7 messages"
    assert str(Exhausted("engine")) == "restarts used up by engine"
    assert repr(NORMAL) == "<Reason normal>"
