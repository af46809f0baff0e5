"""Where texts are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine.seams import PART_CHARS_MAX, Seams, seams_of

TEXT = st.text(alphabet="ab. \n\t/é🦊", max_size=60)


@given(TEXT, st.integers(1, 20), st.booleans(), st.booleans())
def test_the_parts_are_the_text_and_none_is_too_long(
    text: str, chars_max: int, before_space: bool, after_newline: bool
) -> None:
    parts = list(Seams(before_space, after_newline).cut(text, chars_max))
    assert "".join(parts) == text
    assert all(0 < len(part) <= chars_max for part in parts)


@given(TEXT, st.integers(4, 20))
def test_a_seam_is_used_where_there_is_one(text: str, chars_max: int) -> None:
    at = 0
    for part in list(Seams().cut(text, chars_max))[:-1]:
        at += len(part)
        assert is_seam(text, at) or len(part) == chars_max
        assert not any(is_seam(text, later) for later in range(at + 1, at + chars_max - len(part)))


def is_seam(text: str, at: int) -> bool:
    """The definition, in so many words."""
    if text[at] == " ":
        return not text[at - 1].isspace()
    behind_line = at > 1 and text[at - 1] == "\n" and not text[at - 2].isspace()
    return behind_line and not text[at].isspace() and text[at] != "/"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ab cd", ["ab", " cd"]),
        ("ab\ncd", ["ab\n", "cd"]),
        ("ab  cd", ["ab", "  cd"]),
        ("ab\n\ncd", ["ab\n\n", "cd"]),  # no seam, but just as long as a part may be
        ("ab\n/cd", ["ab\n/", "cd"]),
        ("abcdefgh", ["abcd", "efgh"]),
        ("        ", ["    ", "    "]),
        ("", []),
    ],
)
def test_examples(text: str, parts: list[str]) -> None:
    assert list(Seams().cut(text, 4)) == parts


@pytest.mark.parametrize(
    ("token", "before_space", "after_newline"),
    [
        (b" the", True, True),
        (b"of the", False, True),
        (b"\nfoo", True, False),
        (b"\n\n    ", True, True),
        (b"};\n", True, True),
        ("\u3000 ".encode(), True, True),  # white space before it, though not to ASCII
        (b"\xe3\x80", True, True),
        (b"\xff ", False, True),
    ],
)
def test_a_token_that_reaches_over_a_seam_makes_it_none(
    token: bytes, before_space: bool, after_newline: bool
) -> None:
    assert seams_of([b"a", token, b"b"]) == Seams(before_space, after_newline)


@given(TEXT, st.integers(1, 20))
def test_without_seams_every_part_has_its_full_length(text: str, chars_max: int) -> None:
    parts = list(Seams(False, False).cut(text, chars_max))
    assert {len(part) for part in parts[:-1]} <= {chars_max}


def test_a_long_text_without_a_seam_takes_no_longer_than_one_with() -> None:
    """Looking back for a seam is bounded by the part, not by the text."""
    text = " " * 1_000_000
    assert len(list(Seams().cut(text))) == -(-1_000_000 // PART_CHARS_MAX)
