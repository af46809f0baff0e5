"""How much memory DuckDB may take for itself.

It takes 2,048 rows at a time in hand: to commit behind them, to fold the log into the file, and to
read one of them, unless the file has been opened since they were written. With requests at the
limit of a body and a row of the audit trail to each that is a gigabyte. So the limit is no wall:
it keeps DuckDB's cache small, and gives way when something cannot be done within it.
"""

from __future__ import annotations

from typing import Final

import psutil  # type: ignore[import-untyped]  # it ships no types

from edge.storage.verdict import judge

STEP: Final = 4

# DuckDB's own limit, which it keeps to where none is set.
_OF_MACHINE: Final = 0.8


def is_out_of_memory(error: Exception) -> bool:
    """Whether it was for want of memory. DuckDB has several errors for that, also those of a commit
    and of the file as a whole."""
    return judge(str(error)) == "no_memory"


def more_mib(memory_mib_max: int) -> int:
    """The next larger limit; 0, which leaves it to DuckDB, if that is most of the machine's."""
    more = STEP * memory_mib_max
    return more if more < _OF_MACHINE * psutil.virtual_memory().total / 2**20 else 0


def set_limit(memory_mib_max: int) -> str:
    """The statement that sets it."""
    if memory_mib_max:
        return f"SET memory_limit = '{memory_mib_max}MiB'"
    return "RESET memory_limit"
