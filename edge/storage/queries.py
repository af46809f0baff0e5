"""The statements that read. `TASK` columns are those of `StoredTask`, in its order.

The latest version of a task is the row with the highest ``version``. Should a version be there
twice, because the disk failed after it had written but before it said so, either may be taken:
they are equal.

What comes before what is told by ``rowid`` alone; see `edge.storage.schema`.
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
           first_one.spec, last_one.snapshot, last_one.client
    FROM latest JOIN journal first_one ON first_one.rowid = latest.first_row
                JOIN journal last_one ON last_one.rowid = latest.last_row
    WHERE first_one.spec IS NOT NULL
"""

# Narrow columns alone; see `edge.storage.unfinished`.
UNFINISHED: Final = f"""
    SELECT task_id::VARCHAR, version, state, created_ns, first_row, last_row
    FROM ({_LATEST} GROUP BY task_id HAVING max_by(state, version) NOT IN {_ENDED})
    ORDER BY first_row
"""

# The rows of these numbers. As a join rather than a list in the text, because then DuckDB fetches
# these rows alone, not all of those around them.
WIDE: Final = """
    SELECT rowid, task_id::VARCHAR, client, spec, snapshot FROM journal
    WHERE rowid IN (SELECT unnest(?::BIGINT[]))
"""

UNFINISHED_COUNT: Final = f"""
    SELECT count(*) FROM ({_LATEST} GROUP BY task_id HAVING max_by(state, version) NOT IN {_ENDED})
"""

GET: Final = """
    SELECT task_id::VARCHAR, max(version), max_by(state, version), min(created_ns),
           min_by(spec, version), max_by(snapshot, version), max_by(client, version)
    FROM journal WHERE task_id = ?::UUID AND version IS NOT NULL GROUP BY task_id
    HAVING min_by(spec, version) IS NOT NULL
"""

FIND_IDEMPOTENT: Final = """
    SELECT task_id::VARCHAR FROM journal WHERE idempotency_key = ? AND client = ?
    ORDER BY rowid DESC LIMIT 1
"""

FIND_ANSWERS: Final = """
    SELECT task_id::VARCHAR FROM journal
    WHERE fingerprint = ? AND client = ? AND state = 'completed'
    GROUP BY task_id ORDER BY max(rowid) DESC LIMIT ?
"""

LAST_SEEN: Final = """
    SELECT run_ns, schedule_ns, wall_ns, elapsed_ns, boot_id, (SELECT max(run_ns) FROM journal)
    FROM last_seen
"""

LEARNT: Final = "SELECT value FROM learnt"

# One row that is damaged hides no other.
AUDIT: Final = """
    SELECT task_id::VARCHAR, created_ns, coalesce(try(details->>'event'), 'unreadable'),
           coalesce(try(details->>'from_state'), ''), state, try(details->>'cause'), run_ns
    FROM journal WHERE task_id = ?::UUID AND version IS NULL ORDER BY rowid
"""


def _detail(name: str) -> str:
    return f"try(last_one.details->>'{name}')"


def _number(name: str) -> str:
    return f"try_cast({_detail(name)} AS BIGINT)"


def _time(ns: str, *, as_text: bool) -> str:
    # A file of text says its zone itself; without that each reader takes it for its own. Parquet
    # has a type for it, in microseconds because not everybody reads finer ones.
    text = f"strftime(make_timestamp_ns({ns}), '%Y-%m-%dT%H:%M:%S.%gZ')"
    return text if as_text else f"make_timestamp({ns} // 1000) AT TIME ZONE 'UTC'"


def _export(*, times_as_text: bool) -> str:
    # One value that is damaged is null, and hides no other.
    created_at, scheduled_at, started_at, finished_at = (
        _time(ns, as_text=times_as_text)
        for ns in (
            "latest.created_ns",
            _number("scheduled_ns"),
            _number("started_ns"),
            "last_one.finished_ns",
        )
    )
    return f"""
        SELECT latest.task_id::VARCHAR AS task_id, last_one.client, latest.state,
               {_number("priority")} AS priority, {_detail("model")} AS model,
               {_number("attempt")} AS attempt, {created_at} AS created_at,
               {scheduled_at} AS scheduled_at, {started_at} AS started_at,
               {finished_at} AS finished_at, last_one.queued_ms, last_one.duration_ms,
               {_number("completion_tokens")} AS completion_tokens,
               try(decode(first_one.spec)) AS request, try(decode(last_one.snapshot)) AS snapshot
        FROM latest JOIN journal first_one ON first_one.rowid = latest.first_row
                    JOIN journal last_one ON last_one.rowid = latest.last_row
        ORDER BY latest.first_row
    """


# First versions stay, because they carry the request.
DELETE_SUPERSEDED: Final = """
    DELETE FROM journal WHERE version IS NOT NULL AND rowid NOT IN (
        SELECT unnest([max_by(rowid, version), min_by(rowid, version)])
        FROM journal WHERE version IS NOT NULL GROUP BY task_id
    )
"""

_ENDED_TASKS: Final = f"""
    SELECT task_id, max_by(run_ns, version) AS run_ns, max_by(rowid, version) AS last_row
    FROM journal WHERE version IS NOT NULL
    GROUP BY task_id HAVING max_by(state, version) IN {_ENDED}
"""

# Parameters: ended before this time of running; how many ended tasks to keep.
PRUNABLE: Final = f"""
    SELECT task_id FROM ({_ENDED_TASKS})
    WHERE run_ns < ?
    UNION
    SELECT task_id FROM (
        SELECT task_id FROM ({_ENDED_TASKS}) ORDER BY last_row DESC OFFSET ?
    )
"""


Sql = tuple[str, list[object]]
"""A statement and its parameters."""


def _where(*conditions: tuple[str, object]) -> Sql:
    """Those conditions that have a value, each after an AND."""
    given = [each for each in conditions if each[1] is not None]
    return "".join(f" AND {sql}" for sql, _ in given), [value for _, value in given]


def _latest(wanted: Wanted, behind: str | None = None) -> Sql:
    where, values = _where(
        ("client = ?", wanted.client),
        ("created_ns >= ?", wanted.since_ns),
        ("created_ns < ?", wanted.until_ns),
    )
    having, states = _where(("max_by(state, version) = ?", wanted.state))
    if behind is not None:
        having += """ AND min_by(rowid, version) < (
            SELECT min_by(rowid, version) FROM journal
            WHERE task_id = ?::UUID AND version IS NOT NULL
        )"""
        states.append(behind)
    return f"{_LATEST}{where} GROUP BY task_id HAVING true{having}", [*values, *states]


def versions_of(task_id: str, client: str | None) -> Sql:
    """How many versions there are of a task; 0 when it is not this client's, where one is named."""
    where, values = _where(("task_id = ?::UUID", task_id), ("client = ?", client))
    return f"SELECT count(*) FROM journal WHERE version IS NOT NULL{where}", values


def history(wanted: Wanted, behind: str | None) -> Sql:
    """A page, newest first, of the tasks that were accepted before this one; the limit is one more
    parameter."""
    latest, values = _latest(wanted, behind)
    sql = f"""
        WITH latest AS ({latest} ORDER BY first_row DESC LIMIT ?)
        {_TASK} ORDER BY latest.first_row DESC
    """
    return sql, values


def export(wanted: Wanted, *, times_as_text: bool) -> Sql:
    """One row a task with all that is known of it, in the order in which they were accepted. Times
    are in UTC and say so; what cannot be read of a row is null."""
    latest, values = _latest(wanted)
    return f"WITH latest AS ({latest}) {_export(times_as_text=times_as_text)}", values


def percentiles(
    since_ns: int | None, until_ns: int | None, client: str | None, since_run_ns: int | None
) -> Sql:
    """The columns of `Percentiles`."""
    where, values = _where(
        ("finished_ns >= ?", since_ns),
        ("finished_ns < ?", until_ns),
        ("client = ?", client),
        ("run_ns >= ?", since_run_ns),
    )
    sql = f"""
        WITH ended AS (
            SELECT max_by(state, version) AS state, max_by(queued_ms, version) AS queued_ms,
                   max_by(duration_ms, version) AS duration_ms,
                   max_by(finished_ns, version) AS finished_ns
            FROM journal WHERE finished_ns IS NOT NULL{where} GROUP BY task_id
        )
        SELECT {", ".join(f"count(*) FILTER (state = '{state}')" for state in TERMINAL)},
               min(finished_ns),
               quantile_cont(queued_ms, [0.5, 0.95, 0.99]),
               quantile_cont(duration_ms, [0.5, 0.95, 0.99])
        FROM ended
    """
    return sql, values
