from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.tasks.ids import canonical, is_canonical

ID = "8fd07545-0a1b-4c2d-9e3f-0123456789ab"


@pytest.mark.parametrize(
    "spelling",
    [
        ID,
        ID.upper(),
        ID.replace("-", ""),
        ID.replace("-", "").upper(),
        "{" + ID + "}",
        "{" + ID.replace("-", "").upper() + "}",
        f"urn:uuid:{ID}",
        f"URN:UUID:{ID.upper()}",
    ],
)
def test_every_spelling_has_one_canonical_form(spelling: str) -> None:
    assert canonical(spelling) == ID
    assert is_canonical(spelling) is (spelling == ID)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no uuid",
        ID[:-1],
        ID + "0",
        ID + "\n",
        " " + ID,
        "{" + ID,
        ID + "}",
        "{{" + ID + "}}",
        "{urn:uuid:" + ID + "}",
        "urn:uuid:{" + ID + "}",
        "uuid:" + ID,
        ID.replace("-", "_"),
        ID.replace("-", "", 1),  # dashes are all there, or none
        "8fd0-7545" + ID[8:].replace("-", ""),
        ID.replace("-", "").replace("0", "_", 1),
        ID.replace("0", "\uff10"),  # a digit, but of no UUID
        ID.replace("-", "\u2010"),
        "\u0130" + ID[1:],  # in lower case it would be two characters
        "8" * 100_000,
    ],
)
def test_what_is_none_is_none(text: str) -> None:
    assert canonical(text) is None


@given(st.uuids(), st.booleans())
def test_what_python_writes_is_canonical(uuid: UUID, capitals: bool) -> None:
    written = str(uuid).upper() if capitals else str(uuid)
    assert canonical(written) == str(uuid)


@given(st.text(alphabet="0123456789abcdefABCDEF-{}_urn:id\u0660 ", max_size=50))
def test_the_canonical_form_is_its_own(text: str) -> None:
    found = canonical(text)
    assert found is None or (is_canonical(found) and str(UUID(text)) == found)
