"""What an error says about a database file: is it the file itself that is at fault? Pure.

A file that is at fault is set aside, and the node begins with an empty one. So this is said only
where DuckDB says it in so many words. Everything else, known or not, is a reason not to start, and
the file stays where it is: it may be good, and what was accepted is in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

Verdict = Literal[
    "good",
    "unreadable",
    "crashed",
    "no_memory",
    "no_space",
    "in_use",
    "not_allowed",
    "disk_fails",
    "foreign_log",
    "later_version",
    "not_looked_at",
]


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at a file says of it, and why."""

    verdict: Verdict
    reason: str = ""


WAYS_OUT: Final[dict[Verdict, str]] = {
    "crashed": "it crashed once and not again, so the file is left as it is; try again",
    "no_memory": "it needs more memory than this machine gives; free some, or move it to another",
    "no_space": "free some space on that disk",
    "in_use": "stop the program that has it open",
    "not_allowed": "give this user the right to read and write it",
    "disk_fails": "look after that disk",
    "foreign_log": "its log, beside it, belongs to another file or to another state of this one;"
    " bring back the one that it belongs to, or move the log away",
    "later_version": "it was made by a later version; install that one",
    "not_looked_at": "whether it is good could not be found out, so it is left as it is; try again",
}
"""What an admin can do about it; there is none for a file that is good or at fault."""

# Asked in this order: what speaks for the file comes first, because DuckDB puts its words for a log
# around whatever went wrong while it read it.
_SIGNS: Final[tuple[tuple[str, Verdict], ...]] = (
    ("Could not set lock", "in_use"),
    ("Permission denied", "not_allowed"),
    ("Read-only file system", "not_allowed"),
    ("Operation not permitted", "not_allowed"),
    ("No space left on device", "no_space"),
    ("Disk quota exceeded", "no_space"),
    ("Out of Memory", "no_memory"),
    ("Cannot allocate memory", "no_memory"),
    ("bad_alloc", "no_memory"),
    ("failed to pin block", "no_memory"),
    ("Input/output error", "disk_fails"),
    ("Stale file handle", "disk_fails"),
    # What DuckDB writes beside the file when memory is short, and throws away.
    ("Corrupt temporary file", "not_looked_at"),
    (".tmp/", "not_looked_at"),
    ("WAL does not match database file", "foreign_log"),
    ("WAL checkpoint iteration does not match", "foreign_log"),
    ("storage version number", "later_version"),
    ("storage version greater than", "later_version"),
    ("database file with version number", "later_version"),
)

# DuckDB 2.0 says "Corrupt database file" (a checksum of a block), "Corrupt WAL file" (of the log),
# "Corrupted … segment" and the like; the other two are a file that has lost its beginning, and one
# that has lost its end.
_AT_FAULT: Final = re.compile(
    r"corrupt|is not a valid DuckDB database file|Could not read enough bytes from file",
    re.IGNORECASE,
)


def judge(message: str) -> Verdict:
    """What an error of DuckDB's says about the file that it was reading."""
    for sign, verdict in _SIGNS:
        if sign in message:
            return verdict
    return "unreadable" if _AT_FAULT.search(message) else "not_looked_at"
