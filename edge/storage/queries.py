"""The statements that read. `TASK` columns are those of `StoredTask`, in its order.

The latest version of a task is the row with the highest ``version``. Should a version be there
twice, because the disk failed after it had written but before it said so, either may be taken:
they are equal.
"""

from __future__ import annotations

from typing import Final

from edge.storage.rows import Wanted

TERMINAL: Final = ("completed", "cancelled", "discarded")
_ENDED: Final = "(" + ", ".join(f"'{state}'" for state in TERMINAL) + ")"

# The rows of each task are found by their narrow columns; the wide ones are then read only for
# the tasks that are wanted.
_LATEST: Final = """
    SELECT task_id, max(version) AS version, max_by(state, version) AS state,
           min(created_ns) AS created_ns, max_by(rowid, version) AS last_row,
           min_by(rowid, version) AS first_row
    FROM journal WHERE version IS NOT NULL
"""
_TASK: Final = """
    SELECT latest.task_id::VARCHAR AS task_id, latest.version, latest.state, latest.created_ns,
           first_one.spec, last_one.snapshot
    FROM latest JOIN journal first_one ON first_one.rowid = latest.first_row
                JOIN journal last_one ON last_one.rowid = latest.last_row
    WHERE first_one.spec IS NOT NULL
"""

UNFINISHED: Final = f"""
    WITH latest AS ({_LATEST} GROUP BY task_id HAVING max_by(state, version) NOT IN {_ENDED})
    {_TASK} ORDER BY latest.created_ns, latest.task_id
"""

UNFINISHED_COUNT: Final = f"""
    SELECT count(*) FROM ({_LATEST} GROUP BY task_id HAVING max_by(state, version) NOT IN {_ENDED})
"""

GET: Final = """
    SELECT task_id::VARCHAR, max(version), max_by(state, version), min(created_ns),
           min_by(spec, version), max_by(snapshot, version)
    FROM journal WHERE task_id = ?::UUID AND version IS NOT NULL GROUP BY task_id
    HAVING min_by(spec, version) IS NOT NULL
"""

FIND_IDEMPOTENT: Final = """
    SELECT task_id::VARCHAR FROM journal WHERE idempotency_key = ? AND client = ?
    ORDER BY created_ns DESC LIMIT 1
"""

FIND_ANSWER: Final = """
    SELECT task_id::VARCHAR FROM journal
    WHERE fingerprint = ? AND client = ? AND state = 'completed'
    ORDER BY finished_ns DESC LIMIT 1
"""

CREATED: Final = """
    SELECT min(created_ns) FROM journal WHERE task_id = ?::UUID AND version IS NOT NULL
"""

AUDIT: Final = """
    SELECT task_id::VARCHAR, created_ns, details->>'event', details->>'from_state', state,
           details->>'cause'
    FROM journal WHERE task_id = ?::UUID AND version IS NULL ORDER BY created_ns, rowid
"""

_EXPORT: Final = """
    SELECT latest.task_id::VARCHAR AS task_id, last_one.client, latest.state,
           (last_one.details->>'priority')::BIGINT AS priority,
           last_one.details->>'model' AS model,
           (last_one.details->>'attempt')::BIGINT AS attempt,
           make_timestamp_ns(latest.created_ns) AS created_at,
           make_timestamp_ns((last_one.details->>'scheduled_ns')::BIGINT) AS scheduled_at,
           make_timestamp_ns((last_one.details->>'started_ns')::BIGINT) AS started_at,
           make_timestamp_ns(last_one.finished_ns) AS finished_at,
           last_one.queued_ms, last_one.duration_ms,
           (last_one.details->>'completion_tokens')::BIGINT AS completion_tokens,
           decode(first_one.spec) AS request, decode(last_one.snapshot) AS snapshot
    FROM latest JOIN journal first_one ON first_one.rowid = latest.first_row
                JOIN journal last_one ON last_one.rowid = latest.last_row
    ORDER BY latest.created_ns, latest.task_id
"""

# First versions stay, because they carry the request.
DELETE_SUPERSEDED: Final = """
    DELETE FROM journal WHERE version IS NOT NULL AND rowid NOT IN (
        SELECT unnest([max_by(rowid, version), min_by(rowid, version)])
        FROM journal WHERE version IS NOT NULL GROUP BY task_id
    )
"""

_ENDED_TASKS: Final = f"""
    SELECT task_id, max_by(finished_ns, version) AS finished_ns
    FROM journal WHERE version IS NOT NULL
    GROUP BY task_id HAVING max_by(state, version) IN {_ENDED}
"""

# Parameters: finished before; how many ended tasks to keep.
PRUNABLE: Final = f"""
    SELECT task_id FROM ({_ENDED_TASKS})
    WHERE finished_ns < ?
    UNION
    SELECT task_id FROM (
        SELECT task_id FROM ({_ENDED_TASKS}) ORDER BY finished_ns DESC, task_id OFFSET ?
    )
"""


Sql = tuple[str, list[object]]
"""A statement and its parameters."""


def _where(*conditions: tuple[str, object]) -> Sql:
    """Those conditions that have a value, each after an AND."""
    given = [each for each in conditions if each[1] is not None]
    return "".join(f" AND {sql}" for sql, _ in given), [value for _, value in given]


def _latest(wanted: Wanted, behind: tuple[int, str] | None = None) -> Sql:
    where, values = _where(
        ("client = ?", wanted.client),
        ("created_ns >= ?", wanted.since_ns),
        ("created_ns < ?", wanted.until_ns),
    )
    having, states = _where(("max_by(state, version) = ?", wanted.state))
    if behind is not None:
        having += " AND (min(created_ns), task_id) < (?::BIGINT, ?::UUID)"
    latest = f"{_LATEST}{where} GROUP BY task_id HAVING true{having}"
    return latest, [*values, *states, *(behind or ())]


def history(wanted: Wanted, behind: tuple[int, str] | None) -> Sql:
    """A page, newest first, of the tasks behind this creation time and id; the limit is one more
    parameter."""
    latest, values = _latest(wanted, behind)
    sql = f"""
        WITH latest AS ({latest} ORDER BY min(created_ns) DESC, task_id DESC LIMIT ?)
        {_TASK} ORDER BY latest.created_ns DESC, latest.task_id DESC
    """
    return sql, values


def export(wanted: Wanted) -> Sql:
    """One row a task with all that is known of it, in the order of their creation."""
    latest, values = _latest(wanted)
    return f"WITH latest AS ({latest}) {_EXPORT}", values


def percentiles(since_ns: int, until_ns: int | None, client: str | None) -> Sql:
    """The columns of `Percentiles`."""
    where, values = _where(
        ("finished_ns >= ?", since_ns), ("finished_ns < ?", until_ns), ("client = ?", client)
    )
    sql = f"""
        WITH ended AS (
            SELECT max_by(state, version) AS state, max_by(queued_ms, version) AS queued_ms,
                   max_by(duration_ms, version) AS duration_ms
            FROM journal WHERE version IS NOT NULL{where} GROUP BY task_id
        )
        SELECT {", ".join(f"count(*) FILTER (state = '{state}')" for state in TERMINAL)},
               quantile_cont(queued_ms, [0.5, 0.95, 0.99]),
               quantile_cont(duration_ms, [0.5, 0.95, 0.99])
        FROM ended
    """
    return sql, values
