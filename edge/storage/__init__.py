"""The node's memory on disk: task versions and the audit trail in one DuckDB file.

One thread writes, in groups; another reads. Nothing here knows what a task is: the caller's bytes
go in and come out.
"""

from edge.storage.rows import AuditRow, Row, StoredTask, TaskRow
from edge.storage.store import Store

__all__ = ["AuditRow", "Row", "Store", "StoredTask", "TaskRow"]
