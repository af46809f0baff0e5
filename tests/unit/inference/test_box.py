"""Memory and cores in trees of files like those of Linux."""

from __future__ import annotations

from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from edge.inference.box import choose_cores, free_memory_bytes

MIB = 1 << 20


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return folder


def threads_of(*cores: str, capacity: tuple[int, ...] = ()) -> dict[str, str]:
    """Files of one logical processor for each of the lists."""
    files = {f"cpu{each}/topology/core_cpus_list": core for each, core in enumerate(cores)}
    return files | {f"cpu{each}/cpu_capacity": str(value) for each, value in enumerate(capacity)}


@pytest.mark.parametrize(
    "files",
    [
        {
            "memory.max": str(64 * MIB), "memory.current": str(60 * MIB),
            "memory.stat": f"anon 5\ninactive_file {10 * MIB}",
        },
        {
            "memory/memory.limit_in_bytes": str(64 * MIB),
            "memory/memory.usage_in_bytes": str(60 * MIB),
            "memory/memory.stat": f"inactive_file 3\ntotal_inactive_file {10 * MIB}",
        },
    ],
)  # fmt: skip
def test_a_control_group_leaves_less_than_the_machine(
    tmp_path: Path, files: dict[str, str]
) -> None:
    assert free_memory_bytes(tree(tmp_path, files)) == 14 * MIB


@pytest.mark.parametrize(
    "files", [{}, {"memory.max": "max", "memory.current": "5"}, {"memory.max": "5"}]
)
def test_without_a_limit_the_machine_counts(tmp_path: Path, files: dict[str, str]) -> None:
    free = free_memory_bytes(tree(tmp_path, files))
    assert MIB < free <= psutil.virtual_memory().total


def test_a_group_that_is_over_its_limit_has_nothing_free(tmp_path: Path) -> None:
    files = {"memory.max": "5", "memory.current": "7"}
    assert free_memory_bytes(tree(tmp_path, files)) == 0


@pytest.mark.parametrize(
    ("lists", "capacity", "allowed", "number"),
    [
        (("0-1", "0-1"), (), (0, 1), 1),
        (("0", "1"), (), (0, 1), 2),
        (("0", "1", "2"), (), (0, 1, 2), 3),
        (("0", "1", "2", "3"), (), (0, 1, 2, 3), 3),
        (("0,4", "1,5", "2,6", "3,7") * 2, (), range(8), 3),
        (("0,4", "1,5", "2,6", "3,7") * 2, (), (0, 4), 1),
        (("0", "1", "2", "3"), (1024, 1024, 446, 446), range(4), 2),
        (("0", "1"), (1024, 980), range(2), 2),
    ],
)
def test_physical_and_fast_cores_that_are_allowed(
    tmp_path: Path,
    lists: tuple[str, ...],
    capacity: tuple[int, ...],
    allowed: tuple[int, ...],
    number: int,
) -> None:
    cpus = tree(tmp_path / "cpu", threads_of(*lists, capacity=capacity))
    assert choose_cores(tmp_path / "none", cpus, allowed).number == number


def test_an_older_kernel_names_siblings(tmp_path: Path) -> None:
    files = {f"cpu{each}/topology/thread_siblings_list": "0-1" for each in (0, 1)}
    assert choose_cores(tmp_path / "none", tree(tmp_path, files), (0, 1)).number == 1


def test_without_a_topology_each_processor_is_a_core(tmp_path: Path) -> None:
    assert choose_cores(tmp_path, tmp_path, (0, 1, 2)).number == 3


@pytest.mark.parametrize(
    ("files", "number"),
    [
        ({"cpu.max": "150000 100000"}, 1),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "max 100000"}, 7),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 7),
    ],
)
def test_a_quota_caps_them(tmp_path: Path, files: dict[str, str], number: int) -> None:
    group = tree(tmp_path / "group", files)
    assert choose_cores(group, tmp_path / "none", range(8)).number == number


def test_this_machine_has_some() -> None:
    number, why = choose_cores()
    assert number >= 1
    assert why


def test_why_there_are_so_many_is_said(tmp_path: Path) -> None:
    def why(allowed: int, quota: str = "max 100000") -> str:
        return choose_cores(tree(tmp_path, {"cpu.max": quota}), tmp_path, range(allowed)).why

    assert why(2) == "the physical, fast cores that the node may run on"
    assert why(4) == f"{why(2)}, but for one that is left for the node itself"
    assert why(2, "150000 100000") == "its control group may use 1.5 processors at a time"
    assert why(2, "250000 100000") == why(2)
    assert why(8, "600000 100000").endswith(
        "6 processors at a time, but for one that is left for the node itself"
    )


SERVICE = "system.slice/elwift.service"


@pytest.mark.parametrize(
    ("own", "folder", "limit", "used"),
    [
        (f"0::/{SERVICE}", "", "memory.max", "memory.current"),
        (f"5:cpu,cpuacct:/other\n4:memory:/{SERVICE}", "memory/", "memory.limit_in_bytes",
         "memory.usage_in_bytes"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("strict", [SERVICE, "system.slice", "."])
def test_the_strictest_of_all_groups_above_counts(
    tmp_path: Path, own: str, folder: str, limit: str, used: str, strict: str
) -> None:
    files = {"own": own}
    for group in (SERVICE, "system.slice", "."):
        size = 64 if group == strict else 512
        files[f"{folder}{group}/{limit}"] = str(size * MIB)
        files[f"{folder}{group}/{used}"] = str(60 * MIB)
    root = tree(tmp_path, files)
    assert free_memory_bytes(root, root / "own") == 4 * MIB


def test_the_least_quota_of_all_groups_above_counts(tmp_path: Path) -> None:
    files = {"own": f"0::/{SERVICE}", "cpu.max": "700000 100000"}
    files[f"{SERVICE}/cpu.max"], files["system.slice/cpu.max"] = "200000 100000", "max 100000"
    root = tree(tmp_path, files)
    assert choose_cores(root, root, range(8), root / "own").number == 2


@pytest.mark.parametrize("own", ["0::/../other", "0::/gone", "nonsense", ""])
def test_a_group_that_cannot_be_seen_has_no_limit(tmp_path: Path, own: str) -> None:
    """As from within a container, whose own root has one."""
    files = {"own": own, "memory.max": str(64 * MIB), "memory.current": str(60 * MIB)}
    root = tree(tmp_path, files)
    assert free_memory_bytes(root, root / "own") == 4 * MIB
