"""Which words condemn a file: few, and DuckDB's own."""

from __future__ import annotations

import pytest

from edge.storage.verdict import WAYS_OUT, judge


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        ("IO Error: Could not set lock on file: Conflicting lock is held", "in_use"),
        ("IO Error: Cannot open file: Permission denied", "not_allowed"),
        ("IO Error: Cannot open file: Read-only file system", "not_allowed"),
        ("IO Error: could not write: No space left on device", "no_space"),
        ("IO Error: Disk quota exceeded", "no_space"),
        ("IO Error: Could not read from file: Input/output error", "disk_fails"),
        ("Out of Memory Error: failed to allocate data of size 1.0 GiB", "no_memory"),
        ("FATAL Error: Failed to create checkpoint because of error: failed to pin block of size"
         " 304.0 KiB (255.8 MiB/256.0 MiB used)", "no_memory"),
        ("Serialization Error: database file with version number 99", "later_version"),
        ("IO Error: Trying to read a database file with storage version number 99, but we can only"
         " read storage versions between 64 and 70.", "later_version"),
        ('IO Error: Failure while replaying WAL file "a.wal": WAL does not match database file.',
         "foreign_log"),
        ("Corrupt database file: computed checksum 1 does not match stored checksum 2 in block at"
         " location 4096", "unreadable"),
        ('Failure while replaying WAL file "a.wal": Corrupt WAL file: entry at byte position 52'
         " computed checksum 3 does not match stored checksum 4", "unreadable"),
        ('IO Error: The file "a" exists, but it is not a valid DuckDB database file!',
         "unreadable"),
        ('IO Error: Could not read enough bytes from file "a": attempted to read 262144 bytes from'
         " location 12288", "unreadable"),
        ("Corrupted uncompressed string segment: dictionary is outside the segment", "unreadable"),
    ],
)  # fmt: skip
def test_duckdbs_words_are_understood(message: str, verdict: str) -> None:
    assert judge(message) == verdict


@pytest.mark.parametrize(
    "message",
    [
        "INTERNAL Error: Attempted to access index 3 within vector of size 2",
        "Serialization Error: Failed to deserialize: field id mismatch, expected: 100, got: 101",
        "Catalog Error: Table with name journal does not exist!",
        "TransactionContext Error: Failed to commit: something new",
        'IO Error: Corrupt temporary file "a.tmp/duckdb_temp_block-1.block": too short',
        'IO Error: Could not read enough bytes from file "a.tmp/duckdb_temp_storage-0.tmp"',
        'Failure while replaying WAL file "a.wal": Out of Memory Error: could not allocate block',
        'Failure while replaying WAL file "a.wal": something that nobody has heard of',
        "",
    ],
)
def test_whatever_else_goes_wrong_leaves_the_file_where_it_is(message: str) -> None:
    assert judge(message) in WAYS_OUT


def test_a_file_that_is_to_be_opened_or_set_aside_is_nobodys_to_see_to() -> None:
    assert not {"good", "unreadable"} & set(WAYS_OUT)
