"""Text in pieces is the text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.tasks.text import Text

_LOOK = st.none()


@given(st.text(), st.lists(st.text() | _LOOK))
def test_it_is_what_was_said_whenever_it_is_looked_at(begun: str, steps: list[str | None]) -> None:
    text, wanted = Text(begun), begun
    for piece in steps:
        if piece is None:
            assert str(text) == wanted
        else:
            text.append(piece)
            wanted += piece
        assert len(text) == len(wanted)
    assert text == Text(wanted)
    assert text != wanted
