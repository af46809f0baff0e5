"""How much memory and how many cores this process may use: what the machine has, less what a
control group (Linux, cgroups v1 and v2) takes away. Without such files the machine counts alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]  # it ships no types

CGROUP: Final = Path("/sys/fs/cgroup")
CPUS: Final = Path("/sys/devices/system/cpu")
SPARE_CORES_FROM: Final = 4
"""With so many cores one is left for the node's loop. With fewer it is worth more to the model: and
where it is wanted, the engine notices and takes fewer (`edge.engine.threads`)."""


def free_memory_bytes(cgroup: Path = CGROUP) -> int:
    """What new work may take of the machine's memory, and of the control group's."""
    free = int(psutil.virtual_memory().available)
    for limit, used, stat, cache in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat",
         "total_inactive_file"),
    ):  # fmt: skip
        most, now = _number(cgroup / limit), _number(cgroup / used)
        if most is not None and now is not None:
            # Pages of files are given back when somebody needs the room.
            free = min(free, max(0, most - now + _field(cgroup / stat, cache)))
    return free


def cores(cgroup: Path = CGROUP, cpus: Path = CPUS, allowed: Iterable[int] | None = None) -> int:
    """The physical cores, of the fast ones where there are two kinds, that may be used at a time;
    one fewer from `SPARE_CORES_FROM` up. ``allowed`` are the logical ones that this process may run
    on, by default as the system says. At least 1."""
    if allowed is None and sys.platform != "linux":
        # On a Mac psutil counts efficiency cores too; the engine's own measurement lowers it.
        number = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    else:
        number = len(_fast(cpus, os.sched_getaffinity(0) if allowed is None else allowed))
    quota = _quota(cgroup)
    if quota is not None:
        number = min(number, max(1, int(quota)))
    return max(1, number - 1 if number >= SPARE_CORES_FROM else number)


def _fast(cpus: Path, allowed: Iterable[int]) -> set[str]:
    """The physical cores by the list of their threads; without the slow kind, if there is one."""
    capacity: dict[str, int] = {}
    for each in allowed:
        folder = cpus / f"cpu{each}"
        core = _text(folder / "topology" / "core_cpus_list") or _text(
            folder / "topology" / "thread_siblings_list"
        )
        capacity[core or str(each)] = _number(folder / "cpu_capacity") or 0
    most = max(capacity.values(), default=0)
    # Cores of one kind differ by some percent in what their firmware says of them.
    return {core for core, value in capacity.items() if value >= most * 0.7}


def _quota(cgroup: Path) -> float | None:
    """How many processors the control group may use at a time; None without a limit."""
    text = _text(cgroup / "cpu.max")
    if text:
        parts = text.split()
        if len(parts) == 2 and parts[0].isdigit() and parts[1].isdigit() and int(parts[1]):
            return int(parts[0]) / int(parts[1])
        return None
    quota, period = (
        _number(cgroup / "cpu" / name) for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    )
    return quota / period if quota and period else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _number(path: Path) -> int | None:
    """None for what is no number: "max", -1, or no such file."""
    text = _text(path)
    return int(text) if text.isdigit() else None


def _field(path: Path, name: str) -> int:
    for line in _text(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return 0
