"""Database files, and what may happen to them while no node has them open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from unittest import mock

import duckdb

from edge.storage import schema
from edge.storage.database import Database
from tests.support.rows import audit_row, task_row, uid

BLOCK_BYTES = 256 * 1024
HEADERS_BYTES = 3 * 4_096
TASKS = 200


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def fill(path: Path, first: int = 0) -> None:
    """Tasks in the file, and as many in its log: left as by a kill."""
    # In a process of its own: a connection that is let go of folds the log into the file.
    code = "import sys; from tests.support.damage import fill_and_die as f; f(*sys.argv[1:])"
    subprocess.run([sys.executable, "-c", code, str(path), str(first)], check=True)


def fill_and_die(path: str, first: str) -> None:
    database = Database(Path(path), memory_mib_max=256)
    for start in (int(first), int(first) + TASKS):
        rng = Random(start)
        numbers = range(start, start + TASKS)
        specs = {number: rng.randbytes(1_000).hex().encode() for number in numbers}
        database.append(
            [row for n in numbers for row in (task_row(n, spec=specs[n]), audit_row(n))]
        )
        if start == int(first):
            database.checkpoint()
    os._exit(0)


def fill_with_long_requests(path: Path, tasks: int, request_bytes: int) -> None:
    """Waiting tasks with requests that no compression makes shorter; all is in the file."""
    database = Database(path, memory_mib_max=1_024)
    rng = Random(tasks)
    for start in range(0, tasks, 50):
        numbers = range(start, min(tasks, start + 50))
        specs = {number: rng.randbytes(request_bytes // 2).hex().encode() for number in numbers}
        database.append([task_row(number, spec=specs[number]) for number in numbers])
    database.checkpoint()
    database.close()


def fill_as_before(path: Path, tasks: int, request_bytes: int) -> None:
    """The same, by a node of two versions ago: compressed, and with the tables of then."""
    rng = Random(tasks)
    with duckdb.connect(str(path)) as connection:
        with mock.patch.object(schema, "MIGRATIONS", schema.MIGRATIONS[:2]):
            schema.migrate(connection)
        sql = (
            "INSERT INTO journal (task_id, version, client, state, created_ns, details, spec,"
            " snapshot) VALUES (?, 1, 'ada', 'available', ?, '{}', ?, ?)"
        )
        for number in range(tasks):
            spec = rng.randbytes(request_bytes // 2).hex().encode()
            connection.execute(sql, [uid(number), number, spec, b"{}"])
        connection.execute("CHECKPOINT")


# ---- damage


def cut(path: Path) -> None:
    """The second half is missing."""
    os.truncate(path, path.stat().st_size // 2)


def behead(path: Path) -> None:
    """The beginning is gone."""
    _overwrite(path, Random(1).randbytes(4_096), 0)


def lose_headers(path: Path) -> None:
    """The beginning is there, but neither of the two states that follow it."""
    _overwrite(path, bytes(2 * 4_096), 4_096)


def flip_a_bit_in_each_block(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for start in range(HEADERS_BYTES, len(content), BLOCK_BYTES):
        content[start + 5_000] ^= 1
    path.write_bytes(content)


def zero_a_page_of_each_block(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for start in range(HEADERS_BYTES, len(content), BLOCK_BYTES):
        content[start + 4_096 : start + 8_192] = bytes(4_096)
    path.write_bytes(content)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def garbage(path: Path) -> None:
    path.write_bytes(Random(2).randbytes(path.stat().st_size))


def garbage_behind(path: Path) -> None:
    path.write_bytes(path.read_bytes() + Random(3).randbytes(5_000))


def _overwrite(path: Path, content: bytes, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)
