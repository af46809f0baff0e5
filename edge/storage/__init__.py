"""The node's memory on disk: task versions and the audit trail in one DuckDB file.

One thread writes, in groups; another reads. Nothing here knows what a task is: the caller's bytes
go in and come out.
"""

from edge.storage.opening import check_name
from edge.storage.reads import ExportFormat
from edge.storage.rows import AuditRow, Percentiles, Pruned, Row, StoredTask, TaskRow, Wanted
from edge.storage.store import Store, StoreOptions

__all__ = [
    "AuditRow",
    "ExportFormat",
    "Percentiles",
    "Pruned",
    "Row",
    "Store",
    "StoreOptions",
    "StoredTask",
    "TaskRow",
    "Wanted",
    "check_name",
]
