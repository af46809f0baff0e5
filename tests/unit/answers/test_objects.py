from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge.answers.objects import ObjectEnd

VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab"\\{}[]é', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"\\}'), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.text('a"\\}', max_size=4), VALUES), st.text("}{] \"\\,a", max_size=6),
       st.integers(1, 5))  # fmt: skip
def test_the_end_is_where_json_has_it(value: Any, rest: str, size: int) -> None:
    whole = json.dumps(value)
    text = whole + rest
    end, at = ObjectEnd(), 0
    while at < len(text):
        found = end.find(text[at : at + size])
        if found >= 0:
            assert at + found == len(whole)
            return
        at += size
    raise AssertionError("it has an end")


def test_what_is_cut_has_no_end() -> None:
    assert ObjectEnd().find('{"a": "}') == -1
    assert ObjectEnd().find("") == -1
